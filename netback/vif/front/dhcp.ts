/**
 * Messages of DHCP, as many of their fields as a client for one address needs. Made and taken apart; what is not whole is nothing. (RFC 2131, 2132)
 */
import { view } from './checksum.ts';
import { bytesOf, textOf } from './frames.ts';

export const DhcpType = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
} as const;
export const DhcpPort = { SERVER: 67, CLIENT: 68 } as const;

const Op = { REQUEST: 1, REPLY: 2 } as const;
const At = { XID: 4, CIADDR: 12, YIADDR: 16, CHADDR: 28, COOKIE: 236, OPTIONS: 240 } as const;
const COOKIE = 0x63825363;
/** Older servers take nothing shorter (RFC 1542, 2.1). */
const LENGTH_MIN = 300;

const Code = {
  PAD: 0,
  NETMASK: 1,
  ROUTER: 3,
  REQUESTED: 50,
  LEASE: 51,
  TYPE: 53,
  SERVER: 54,
  PARAMETERS: 55,
  RENEWAL: 58,
  REBINDING: 59,
  END: 255,
} as const;

export interface DhcpMessage {
  readonly isReply: boolean;
  readonly type: number;
  readonly xid: number;
  /** The client's hardware address. */
  readonly mac: Uint8Array;
  /** What the client has, and what it gets. */
  readonly clientAddress?: string;
  readonly yourAddress?: string;
  readonly requested?: string;
  readonly server?: string;
  readonly netmask?: string;
  readonly router?: string;
  /** Seconds; 0xffffffff: for ever. */
  readonly lease?: number;
  readonly renewal?: number;
  readonly rebinding?: number;
}

export function dhcp(message: DhcpMessage): Uint8Array {
  const options: number[] = [Code.TYPE, 1, message.type];
  const address = (code: number, text: string | undefined): void => {
    if (text !== undefined) options.push(code, 4, ...bytesOf(text));
  };
  const seconds = (code: number, value: number | undefined): void => {
    if (value !== undefined) options.push(code, 4, value >>> 24, value >>> 16, value >>> 8, value);
  };
  address(Code.REQUESTED, message.requested);
  address(Code.SERVER, message.server);
  address(Code.NETMASK, message.netmask);
  address(Code.ROUTER, message.router);
  seconds(Code.LEASE, message.lease);
  seconds(Code.RENEWAL, message.renewal);
  seconds(Code.REBINDING, message.rebinding);
  if (!message.isReply)
    options.push(Code.PARAMETERS, 5, Code.NETMASK, Code.ROUTER, Code.LEASE, Code.RENEWAL, Code.REBINDING);
  options.push(Code.END);
  const bytes = new Uint8Array(Math.max(LENGTH_MIN, At.OPTIONS + options.length));
  bytes.set([message.isReply ? Op.REPLY : Op.REQUEST, 1, 6, 0]);
  view(bytes).setUint32(At.XID, message.xid);
  bytes.set(bytesOf(message.clientAddress ?? '0.0.0.0'), At.CIADDR);
  bytes.set(bytesOf(message.yourAddress ?? '0.0.0.0'), At.YIADDR);
  bytes.set(message.mac, At.CHADDR);
  view(bytes).setUint32(At.COOKIE, COOKIE);
  bytes.set(options, At.OPTIONS);
  return bytes;
}

export function openDhcp(bytes: Uint8Array): DhcpMessage | undefined {
  if (bytes.length < At.OPTIONS || view(bytes).getUint32(At.COOKIE) !== COOKIE) return undefined;
  if (bytes[1] !== 1 || bytes[2] !== 6) return undefined;
  const options = openOptions(bytes.subarray(At.OPTIONS));
  const type = options.get(Code.TYPE);
  if (type?.length !== 1) return undefined;
  const address = (code: number): string | undefined => {
    const option = options.get(code);
    return option === undefined || option.length < 4 ? undefined : textOf(option.subarray(0, 4));
  };
  const seconds = (code: number): number | undefined => {
    const option = options.get(code);
    return option?.length === 4 ? view(option).getUint32(0) : undefined;
  };
  return defined({
    isReply: bytes[0] === Op.REPLY,
    type: type[0]!,
    xid: view(bytes).getUint32(At.XID),
    mac: bytes.slice(At.CHADDR, At.CHADDR + 6),
    clientAddress: textOf(bytes.subarray(At.CIADDR, At.CIADDR + 4)),
    yourAddress: textOf(bytes.subarray(At.YIADDR, At.YIADDR + 4)),
    requested: address(Code.REQUESTED),
    server: address(Code.SERVER),
    netmask: address(Code.NETMASK),
    router: address(Code.ROUTER),
    lease: seconds(Code.LEASE),
    renewal: seconds(Code.RENEWAL),
    rebinding: seconds(Code.REBINDING),
  });
}

function openOptions(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = 0; at < bytes.length && bytes[at] !== Code.END; ) {
    if (bytes[at] === Code.PAD) {
      at++;
      continue;
    }
    const length = bytes[at + 1] ?? 0;
    if (at + 2 + length > bytes.length) break;
    options.set(bytes[at]!, bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}

/** Without what is not there. */
function defined(message: { readonly [K in keyof DhcpMessage]: DhcpMessage[K] | undefined }): DhcpMessage {
  return Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== undefined),
  ) as unknown as DhcpMessage;
}
