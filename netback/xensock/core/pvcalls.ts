/**
 * The commands of a socket device, byte by byte: requests and responses in slots of 64 bytes, the index page of a data ring, and the extension's
 * additions (netback/xensock/EXTENSION.md). Turns bytes into values and back and decides nothing: a socket's id is any 64-bit number, a length
 * is what the frontend says. (xen/docs/misc/pvcalls.pandoc, xen/include/public/io/pvcalls.h)
 */
import { ADDRESS_BYTES } from './address.ts';

/** Numbers below 256 are version 1's, the others the extension's. */
export const Command = {
  SOCKET: 0,
  CONNECT: 1,
  RELEASE: 2,
  BIND: 3,
  LISTEN: 4,
  ACCEPT: 5,
  POLL: 6,
  SHUTDOWN: 0x100,
  GETSOCKNAME: 0x101,
  GETPEERNAME: 0x102,
  GETSOCKOPT: 0x103,
  SETSOCKOPT: 0x104,
  /** A datagram socket gets a data ring. */
  ATTACH: 0x105,
} as const;

/** What the protocol's table has besides numbers that are Linux's: for commands, families and types that are not spoken. */
export const ENOTSUP = 524;

/** A slot of the ring of commands, whose one page has 32 of them. */
export const SLOT_BYTES = 64;
/** Version 1's response; those of GETSOCKNAME and its like fill more of their slot. */
export const RESPONSE_BYTES = 24;
/** The value of a socket option. */
const OPTION_BYTES = 32;

/** Where a data ring's index page has what (offsets in bytes). */
export const Index = {
  IN_CONS: 0,
  IN_PROD: 4,
  IN_ERROR: 8,
  OUT_CONS: 64,
  OUT_PROD: 68,
  OUT_ERROR: 72,
  RING_ORDER: 128,
  REFS: 132,
} as const;

export const Shut = { READ: 0, WRITE: 1, BOTH: 2 } as const;

/** In front of each datagram in a data ring; then its bytes, padded to a multiple of 8. */
export const Datagram = {
  /** u32: of the bytes. */
  LENGTH: 0,
  /** u32: of the address; 0: to or from the peer of a connected socket. */
  ADDRESS_LENGTH: 4,
  ADDRESS: 8,
  /** u32: bit 0, in only: the datagram was longer. */
  FLAGS: 36,
  HEADER_BYTES: 40,
} as const;

interface Addressed {
  /** 28 bytes as they were. */
  readonly address: Uint8Array;
  readonly addressLength: number;
}

interface Ringed {
  /** The index page's grant, and the frontend's port. */
  readonly ref: number;
  readonly evtchn: number;
}

export type Call =
  | { readonly command: 0; readonly domain: number; readonly type: number; readonly protocol: number }
  | ({ readonly command: 1; readonly flags: number } & Addressed & Ringed)
  | { readonly command: 2; readonly reuse: boolean }
  | ({ readonly command: 3 } & Addressed)
  | { readonly command: 4; readonly backlog: number }
  | ({ readonly command: 5; readonly newId: bigint } & Ringed)
  | { readonly command: 6 }
  | { readonly command: 0x100; readonly how: number }
  | { readonly command: 0x101 }
  | { readonly command: 0x102 }
  | { readonly command: 0x103; readonly level: number; readonly name: number }
  | { readonly command: 0x104; readonly level: number; readonly name: number; readonly value: Uint8Array }
  | ({ readonly command: 0x105 } & Ringed);

/** `call` undefined: a command that nobody knows, by its number. */
export interface Request {
  readonly reqId: number;
  readonly command: number;
  /** The socket, by the frontend's name. */
  readonly id: bigint;
  readonly call: Call | undefined;
}

export interface Response {
  readonly reqId: number;
  readonly command: number;
  /** 0 or more, or minus an error number of the protocol. */
  readonly ret: number;
  /** The request's; of an ACCEPT the listening socket's. */
  readonly id: bigint;
  /**
   * Of GETSOCKNAME and GETPEERNAME the address, of GETSOCKOPT the value: 32 bytes at most. With the extension also the own address of a CONNECT, and
   * the peer's of an ACCEPT; without, anything.
   */
  readonly data?: Uint8Array;
}

/** A slot that was copied out of the ring. */
export function decodeRequest(slot: Uint8Array): Request {
  const view = new DataView(slot.buffer, slot.byteOffset, SLOT_BYTES);
  const command = view.getUint32(4, true);
  return {
    reqId: view.getUint32(0, true),
    command,
    id: view.getBigUint64(8, true),
    call: decodeCall(command, view, slot),
  };
}

function decodeCall(command: number, view: DataView, slot: Uint8Array): Call | undefined {
  const u32 = (at: number): number => view.getUint32(at, true);
  const addressed = (): Addressed => ({
    address: slot.slice(16, 16 + ADDRESS_BYTES),
    addressLength: u32(44),
  });
  switch (command) {
    case Command.SOCKET:
      return { command, domain: u32(16), type: u32(20), protocol: u32(24) };
    case Command.CONNECT:
      return { command, ...addressed(), flags: u32(48), ref: u32(52), evtchn: u32(56) };
    case Command.RELEASE:
      return { command, reuse: slot[16] === 1 };
    case Command.BIND:
      return { command, ...addressed() };
    case Command.LISTEN:
      return { command, backlog: u32(16) };
    case Command.ACCEPT:
      return { command, newId: view.getBigUint64(16, true), ref: u32(24), evtchn: u32(28) };
    case Command.SHUTDOWN:
      return { command, how: u32(16) };
    case Command.GETSOCKOPT:
      return { command, level: u32(16), name: u32(20) };
    case Command.SETSOCKOPT:
      return {
        command,
        level: u32(16),
        name: u32(20),
        value: slot.slice(28, 28 + Math.min(u32(24), OPTION_BYTES)),
      };
    case Command.ATTACH:
      return { command, ref: u32(16), evtchn: u32(20) };
    case Command.POLL:
    case Command.GETSOCKNAME:
    case Command.GETPEERNAME:
      return { command };
    default:
      return undefined;
  }
}

/** Fills a slot of 64 bytes. */
export function encodeRequest(reqId: number, id: bigint, call: Call, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, SLOT_BYTES);
  const put = (at: number, value: number): void => view.setUint32(at, value, true);
  into.fill(0, 0, SLOT_BYTES);
  put(0, reqId);
  put(4, call.command);
  view.setBigUint64(8, id, true);
  switch (call.command) {
    case Command.SOCKET:
      put(16, call.domain);
      put(20, call.type);
      put(24, call.protocol);
      break;
    case Command.CONNECT:
    case Command.BIND:
      into.set(call.address.subarray(0, ADDRESS_BYTES), 16);
      put(44, call.addressLength);
      if (call.command === Command.BIND) break;
      put(48, call.flags);
      put(52, call.ref);
      put(56, call.evtchn);
      break;
    case Command.RELEASE:
      into[16] = call.reuse ? 1 : 0;
      break;
    case Command.LISTEN:
      put(16, call.backlog);
      break;
    case Command.ACCEPT:
      view.setBigUint64(16, call.newId, true);
      put(24, call.ref);
      put(28, call.evtchn);
      break;
    case Command.SHUTDOWN:
      put(16, call.how);
      break;
    case Command.GETSOCKOPT:
    case Command.SETSOCKOPT:
      put(16, call.level);
      put(20, call.name);
      if (call.command === Command.GETSOCKOPT) break;
      put(24, call.value.length);
      into.set(call.value.subarray(0, OPTION_BYTES), 28);
      break;
    case Command.ATTACH:
      put(16, call.ref);
      put(20, call.evtchn);
      break;
  }
}

/** Fills a slot of 64 bytes. */
export function encodeResponse({ reqId, command, ret, id, data }: Response, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, SLOT_BYTES);
  into.fill(0, 0, SLOT_BYTES);
  view.setUint32(0, reqId, true);
  view.setUint32(4, command, true);
  view.setInt32(8, ret, true);
  view.setBigUint64(16, id, true);
  if (data === undefined) return;
  view.setUint32(24, data.length, true);
  into.set(data.subarray(0, OPTION_BYTES), 28);
}

/** A slot that was copied out of the ring. `data` is there for commands that may have any. */
export function decodeResponse(slot: Uint8Array): Response {
  const view = new DataView(slot.buffer, slot.byteOffset, SLOT_BYTES);
  const command = view.getUint32(4, true);
  const response = {
    reqId: view.getUint32(0, true),
    command,
    ret: view.getInt32(8, true),
    id: view.getBigUint64(16, true),
  };
  const named = command === Command.CONNECT || command === Command.ACCEPT;
  if (named && view.getUint32(24, true) === 0) return response;
  if (!named && (command < Command.GETSOCKNAME || command > Command.GETSOCKOPT)) return response;
  return { ...response, data: slot.slice(28, 28 + Math.min(view.getUint32(24, true), OPTION_BYTES)) };
}
