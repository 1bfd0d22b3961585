/** Frames for the network bench: UDP of a given length, and a large TCP packet that somebody else is to cut. */
import { EtherType, ethernet, ipv4, Protocol, udp } from '../../netback/vif/front/frames.ts';
import type { FrameMeta } from '../../netback/vif/front/meta.ts';

export interface LoadFrame {
  readonly name: string;
  readonly frame: Uint8Array;
  readonly meta: FrameMeta;
}

const HEADERS = 14 + 20 + 8;
const SEGMENT_BYTES = 1448;
const TCP = 6;

const [from, to] = ['10.99.0.1', '10.99.0.2'];

/** Of so many bytes in all, without the wire's own four. */
export function udpFrame(name: string, bytes: number, toMac: Uint8Array, fromMac: Uint8Array): LoadFrame {
  const data = new Uint8Array(bytes - HEADERS).fill(0x5a);
  const payload = udp({ fromPort: 9, toPort: 9, data }, from, to);
  const packet = ipv4({ from, to, protocol: Protocol.UDP, payload });
  return { name, frame: ethernet(toMac, fromMac, EtherType.IPV4, packet), meta: {} };
}

/** 64 KiB with all headers, its checksum blank. */
export function tcpFrame(name: string, toMac: Uint8Array, fromMac: Uint8Array): LoadFrame {
  const payload = new Uint8Array(20 + 45 * SEGMENT_BYTES);
  const words = new DataView(payload.buffer);
  words.setUint16(0, 9);
  words.setUint16(2, 9);
  payload[12] = 0x50;
  payload[13] = 0x10;
  words.setUint16(14, 0xffff);
  const packet = ipv4({ from, to, protocol: TCP, payload });
  // Of the checksum there is the pseudo-header's part.
  let sum = TCP + payload.length;
  const addresses = new DataView(packet.buffer, 12, 8);
  for (let at = 0; at < 8; at += 2) sum += addresses.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  new DataView(packet.buffer, 20).setUint16(16, sum);
  const meta: FrameMeta = { csum: 'blank', gso: { type: 'tcpv4', size: SEGMENT_BYTES } };
  return { name, frame: ethernet(toMac, fromMac, EtherType.IPV4, packet), meta };
}

/** struct virtio_net_hdr, as a TAP device wants it in front of a frame: flags, kind, length of headers, of segments, where the checksum is. */
export function vnetHeader({ meta }: LoadFrame): Uint8Array {
  const header = Buffer.alloc(10);
  if (meta.gso === undefined) return header;
  header[0] = 1;
  header[1] = 1;
  header.writeUInt16LE(14 + 20 + 20, 2);
  header.writeUInt16LE(meta.gso.size, 4);
  header.writeUInt16LE(14 + 20, 6);
  header.writeUInt16LE(16, 8);
  return header;
}
