/**
 * The sockets that there are, as an administrator sees them: as values for JSON, and as a table of text. Knows what a socket looks like, and not
 * where it comes from.
 */
import { formatAddress, SocketType } from '../core/address.ts';
import type { SocketView } from '../core/socket.ts';

/** One socket. */
export interface Listed {
  readonly domid: number;
  readonly name: string | undefined;
  /** Of the guest's devices. */
  readonly devid: number;
  /** The guest's own name for it, in hexadecimal. */
  readonly id: string;
  /** `tcp`, `tcp6`, `udp`, `udp6`. */
  readonly type: string;
  /** `inet`, or the name of the guests' network, or both with a plus. */
  readonly network: string;
  readonly state: SocketView['state'];
  readonly local: string | undefined;
  readonly peer: string | undefined;
  readonly inBytes: number;
  readonly outBytes: number;
  readonly ageSeconds: number;
}

interface Owner {
  readonly domid: number;
  readonly name: string | undefined;
  readonly devid: number;
}

export function listed({ domid, name, devid }: Owner, socket: SocketView, nowMs: number): Listed {
  const { id, family, type, network, state, own, peer, inBytes, outBytes, sinceMs } = socket;
  return {
    domid,
    name,
    devid,
    id: `0x${id.toString(16)}`,
    type: `${type === SocketType.STREAM ? 'tcp' : 'udp'}${family === 10 ? '6' : ''}`,
    network,
    state,
    local: own && formatAddress(own),
    peer: peer && formatAddress(peer),
    inBytes,
    outBytes,
    ageSeconds: Math.floor((nowMs - sinceMs) / 1000),
  };
}

/** What programs call it. */
const states: Readonly<Record<SocketView['state'], string>> = {
  created: 'created',
  connecting: 'connecting',
  active: 'connected',
  bound: 'bound',
  passive: 'listening',
  accepting: 'accepting',
  lost: 'lost',
};

const head = ['DOMAIN', 'DEV', 'TYPE', 'NETWORK', 'STATE', 'LOCAL', 'PEER', 'IN', 'OUT', 'AGE', 'ID'];

/** Lines, the first one with the names of its columns. What a waiting accept is going to be is no socket yet, and not in it. */
export function table(sockets: readonly Listed[]): string {
  const there = sockets.filter(({ state }) => state !== 'accepting');
  const rows = there.map((socket) => [
    socket.name === undefined ? `${socket.domid}` : `${socket.domid} ${socket.name}`,
    `${socket.devid}`,
    socket.type,
    socket.network || '-',
    states[socket.state],
    socket.local ?? '-',
    socket.peer ?? '-',
    `${socket.inBytes}`,
    `${socket.outBytes}`,
    `${socket.ageSeconds}s`,
    socket.id,
  ]);
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
