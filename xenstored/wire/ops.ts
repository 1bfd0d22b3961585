/**
 * The numbers of the xenstore protocol: message types, limits, the header's shape and the error names that
 * may travel. Follows xen/include/public/io/xs_wire.h as of Xen 4.22. Knows no transport and no store.
 */

/** Message types 0..26. WATCH_EVENT and ERROR only ever go from server to client. */
export const Op = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESTRICT: 20,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
  GET_FEATURE: 23,
  SET_FEATURE: 24,
  GET_QUOTA: 25,
  SET_QUOTA: 26,
} as const;

export type OpName = keyof typeof Op;

const names: readonly OpName[] = (Object.keys(Op) as OpName[]).sort((a, b) => Op[a] - Op[b]);

/** `READ` for 2; `undefined` for a number that no version of the protocol uses. */
export function opName(type: number): OpName | undefined {
  return names[type];
}

/** A message is a header of four little-endian u32 (type, req_id, tx_id, len) and `len` bytes. */
export const HEADER_BYTES = 16;
/** Longest payload, both ways (XENSTORE_PAYLOAD_MAX). */
export const PAYLOAD_MAX = 4096;
/** Documented path limits (XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX). */
export const ABS_PATH_MAX = 3072;
export const REL_PATH_MAX = 2048;

/** Ring page (xenstore-ring.txt): two byte areas, four indices, then the extension fields. All u32. */
export const Ring = {
  AREA_BYTES: 1024,
  REQ: 0,
  RSP: 1024,
  REQ_CONS: 2048,
  REQ_PROD: 2052,
  RSP_CONS: 2056,
  RSP_PROD: 2060,
  SERVER_FEATURES: 2064,
  CONNECTION: 2068,
  ERROR: 2072,
  EVTCHN_PORT: 2076,
} as const;

/** Bits of the server features field, and of GET_FEATURE / SET_FEATURE. */
export const Feature = {
  /** The guest may ask for a fresh connection through the ring. */
  RECONNECTION: 1,
  /** The server reports why it gave up on a ring in the error field. */
  ERROR: 2,
  /** WATCH takes a depth. */
  WATCH_DEPTH: 4,
  /** Permission entries may name DOMID_ANY. */
  DOMID_ANY: 8,
} as const;

/** Values of the connection field. */
export const Connection = { CONNECTED: 0, RECONNECT: 1 } as const;
/** Values of the error field. */
export const RingError = { NONE: 0, COMM: 1, RINGIDX: 2, PROTO: 3 } as const;

/** Domain ids with a meaning of their own (xen/include/public/xen.h). */
export const Domid = {
  FIRST_RESERVED: 0x7ff0,
  SELF: 0x7ff0,
  INVALID: 0x7ff4,
  ANY: 0x7ff5,
} as const;

/** Error names that travel, in the order of xs_wire.h's table. Anything else reaches a client as EINVAL. */
const wireErrors = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;

export type WireError = (typeof wireErrors)[number];

const known: ReadonlySet<string> = new Set(wireErrors);

/** The name as a peer may use it: unknown ones read as EINVAL, as libxenstore and Linux do. */
export function wireError(name: string): WireError {
  return known.has(name) ? (name as WireError) : 'EINVAL';
}
