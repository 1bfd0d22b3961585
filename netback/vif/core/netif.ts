/**
 * The numbers of the netif protocol and where fields lie in its slots (xen/include/public/io/netif.h). Slots are little-endian
 * bytes that were copied out of a ring once. Knows what a field is called, not what it may hold. tx is what the guest sends,
 * rx what it receives; the two rings use different bits for the same flag.
 */

/** Bytes of a slot of each ring. */
export const TX_SLOT_BYTES = 12;
export const RX_SLOT_BYTES = 8;
export const CTRL_SLOT_BYTES = 16;
/** A tx response fills less than its slot. */
export const TX_RESPONSE_BYTES = 4;

export const PAGE_BYTES = 4096;
/** Slots of data that every backend has to take in one packet. */
export const NR_SLOTS_MIN = 18;
/** The largest packet of the tx ring; the rx ring has no number for it, but nothing larger goes in. */
export const MAX_PACKET_BYTES = 0xffff;
export const ETHERNET_HEADER_BYTES = 14;

export const TxFlag = { CSUM_BLANK: 1, DATA_VALIDATED: 2, MORE_DATA: 4, EXTRA_INFO: 8 } as const;
export const RxFlag = {
  DATA_VALIDATED: 1,
  CSUM_BLANK: 2,
  MORE_DATA: 4,
  EXTRA_INFO: 8,
  GSO_PREFIX: 16,
} as const;

export const Status = { NULL: 1, OKAY: 0, ERROR: -1, DROPPED: -2 } as const;

/** XDP is Linux's own; netif.h ends before it. */
export const ExtraType = { GSO: 1, MCAST_ADD: 2, MCAST_DEL: 3, HASH: 4, XDP: 5 } as const;
export const EXTRA_MORE = 1;
export const Gso = { NONE: 0, TCPV4: 1, TCPV6: 2 } as const;

/** Hash types by their bit; an extra info names one by the number of the bit. */
export const HashType = { IPV4: 0, IPV4_TCP: 1, IPV6: 2, IPV6_TCP: 3 } as const;
export const HASH_FLAGS = 0xf;
export const HashAlgorithm = { NONE: 0, TOEPLITZ: 1 } as const;

export const CtrlType = {
  GET_HASH_FLAGS: 1,
  SET_HASH_FLAGS: 2,
  SET_HASH_KEY: 3,
  GET_HASH_MAPPING_SIZE: 4,
  SET_HASH_MAPPING_SIZE: 5,
  SET_HASH_MAPPING: 6,
  SET_HASH_ALGORITHM: 7,
} as const;

export const CtrlStatus = {
  SUCCESS: 0,
  NOT_SUPPORTED: 1,
  INVALID_PARAMETER: 2,
  BUFFER_OVERFLOW: 3,
} as const;

/** Where fields lie, in bytes. A request's first word is also where extra info has its type. */
export const TxRequest = { GREF: 0, OFFSET: 4, FLAGS: 6, ID: 8, SIZE: 10 } as const;
export const TxResponse = { ID: 0, STATUS: 2 } as const;
export const RxRequest = { ID: 0, GREF: 4 } as const;
export const RxResponse = { ID: 0, OFFSET: 2, FLAGS: 4, STATUS: 6 } as const;
export const Extra = {
  TYPE: 0,
  FLAGS: 1,
  GSO_SIZE: 2,
  GSO_TYPE: 4,
  MCAST_ADDRESS: 2,
  HASH_TYPE: 2,
  HASH_ALGORITHM: 3,
  HASH_VALUE: 4,
} as const;
export const CtrlRequest = { ID: 0, TYPE: 2, DATA: 4 } as const;
export const CtrlResponse = { ID: 0, TYPE: 2, STATUS: 4, DATA: 8 } as const;

export function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
}

/** Negative numbers in two's complement. */
export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, value);
  putU16(bytes, at + 2, value >>> 16);
}
