/**
 * Datagrams in a data ring: a header with length and address, then the bytes, padded to a multiple of 8. A datagram is put whole or not at all, and
 * taken whole, what does not fit being lost. A record that cannot be ends the socket. (netback/xensock/EXTENSION.md)
 */
import { Errno } from '../../../osdep/errno.ts';
import { decodeAddress, encodeAddress, Family, type InetAddress } from '../core/address.ts';
import { Datagram } from '../core/pvcalls.ts';
import type { Message } from './driver.ts';
import type { Ring } from './ring.ts';

/** Of the record in hand: one at a time, on one thread. */
const header = new Uint8Array(Datagram.HEADER_BYTES);
const addressField = header.subarray(Datagram.ADDRESS, Datagram.FLAGS);
const fields = new DataView(header.buffer);
const TRUNCATED = 1;
/** Of UDP over IPv4, whose length counts two headers; of UDP over IPv6 one. */
const LONGEST = { [Family.INET]: 65_507, [Family.INET6]: 65_527 } as const;

function padded(length: number): number {
  return Datagram.HEADER_BYTES + ((length + 7) & ~7);
}

/** The bytes of the datagram, or minus an error number: -EAGAIN if there is no room for all of it now, -EMSGSIZE if there never is. */
export function sendRecord(
  ring: Ring,
  family: number,
  parts: readonly Uint8Array[],
  address: InetAddress | undefined,
): number {
  const error = ring.outError;
  if (error !== 0) return error;
  let length = 0;
  for (const part of parts) length += part.length;
  const size = padded(length);
  const longest = family === Family.INET ? LONGEST[Family.INET] : LONGEST[Family.INET6];
  if (size > ring.size || length > longest) return -Errno.EMSGSIZE;
  if (size > ring.outRoom()) return -Errno.EAGAIN;
  header.fill(0);
  fields.setUint32(Datagram.LENGTH, length, true);
  if (address !== undefined) {
    fields.setUint32(Datagram.ADDRESS_LENGTH, encodeAddress(address, addressField), true);
  }
  ring.stage(0, header, 0, header.length);
  let at = header.length;
  for (const part of parts) {
    ring.stage(at, part, 0, part.length);
    at += part.length;
  }
  ring.show(size);
  return length;
}

/** The bytes that fitted into the parts, or minus an error number: -EAGAIN if nothing has come, -EIO if it was no datagram. */
export function recvRecord(ring: Ring, message: Message): number {
  const error = ring.inError;
  const there = ring.inThere();
  if (there === 0) return error === 0 ? -Errno.EAGAIN : error;
  if (there < Datagram.HEADER_BYTES) return ring.broken();
  ring.peek(0, header, 0, header.length);
  const length = fields.getUint32(Datagram.LENGTH, true);
  const addressLength = fields.getUint32(Datagram.ADDRESS_LENGTH, true);
  if (length > there || padded(length) > there) return ring.broken();
  const cut = (fields.getUint32(Datagram.FLAGS, true) & TRUNCATED) !== 0;
  message.address = addressLength === 0 ? undefined : decodeAddress(addressField, addressLength);
  let done = 0;
  for (const part of message.parts) {
    const count = Math.min(part.length, length - done);
    ring.peek(Datagram.HEADER_BYTES + done, part, 0, count);
    done += count;
  }
  message.truncated = cut || done < length;
  ring.skip(padded(length));
  return done;
}
