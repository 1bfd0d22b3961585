/**
 * A cell of a record: a socket's entry, or a request that waits for its answer, as 24 words. Knows no file.
 */
import { ADDRESS_BYTES, decodeAddress, encodeAddress } from '../core/address.ts';
import type { EntryState, SocketEntry } from '../core/entries.ts';
import { SLOT_BYTES } from '../core/pvcalls.ts';

export const CELL_WORDS = 24;

/** The first word says what the others are. */
export const Cell = { FREE: 0, SOCKET: 1, REQUEST: 2 } as const;

const states: readonly EntryState[] = ['made', 'bound', 'listening', 'active'];
const SLOT_WORDS = SLOT_BYTES / 4;
/** Of a request: its place among the others, then its slot. */
const ORDER = 1;
const SLOT = 2;
/** Of a socket: id in two words, then numbers, then its address with the length before it. */
const ID = 1;
const NUMBERS = 3;
const ADDRESS_LENGTH = 9;
const ADDRESS = 10;
/** Bits. */
const FLAGS = 17;
const ANY_PORT = 1;
const ONLY6 = 2;

export function socketCell(entry: SocketEntry, into: Uint32Array): void {
  const { id, state, family, type, backlog, ref, evtchn, address, anyPort, only6 } = entry;
  into.fill(0);
  into[0] = Cell.SOCKET;
  into[ID] = Number(id & 0xffff_ffffn);
  into[ID + 1] = Number(id >> 32n);
  into.set([states.indexOf(state), family, type, backlog, ref, evtchn], NUMBERS);
  into[FLAGS] = (anyPort ? ANY_PORT : 0) | (only6 ? ONLY6 : 0);
  if (address === undefined) return;
  const bytes = new Uint8Array(into.buffer, into.byteOffset + 4 * ADDRESS, ADDRESS_BYTES);
  into[ADDRESS_LENGTH] = encodeAddress(address, bytes);
}

export function readSocket(cell: Uint32Array): SocketEntry {
  const [state, family, type, backlog, ref, evtchn] = cell.subarray(NUMBERS);
  const bytes = new Uint8Array(cell.buffer, cell.byteOffset + 4 * ADDRESS, ADDRESS_BYTES);
  return {
    id: (BigInt(cell[ID + 1]!) << 32n) | BigInt(cell[ID]!),
    state: states[state!] ?? 'made',
    family: family!,
    type: type!,
    address: decodeAddress(bytes, cell[ADDRESS_LENGTH]!),
    backlog: backlog!,
    ref: ref!,
    evtchn: evtchn!,
    ...((cell[FLAGS]! & ANY_PORT) !== 0 && { anyPort: true }),
    ...((cell[FLAGS]! & ONLY6) !== 0 && { only6: true }),
  };
}

export function requestCell(order: number, slot: Uint32Array, into: Uint32Array): void {
  into.fill(0);
  into[0] = Cell.REQUEST;
  into[ORDER] = order;
  into.set(slot, SLOT);
}

/** `order`: who came first has the smaller one. */
export function readRequest(cell: Uint32Array): { readonly order: number; readonly slot: Uint32Array } {
  return { order: cell[ORDER]!, slot: cell.slice(SLOT, SLOT + SLOT_WORDS) };
}
