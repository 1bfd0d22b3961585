/**
 * The machine's own network, as far as a way in to the guests could get into its way: may interfaces be made, which there are, which ranges and ports are in
 * use. Changes nothing.
 */
import { once } from 'node:events';
import { accessSync, constants, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Network } from '../core/uplink.ts';

/** Bit of a capability set (linux/capability.h). */
const CAP_NET_ADMIN = 12n;

/** Is there an interface of this name? */
export function hasInterface(name: string): boolean {
  return interfaces().includes(name);
}

/** Why nobody could listen there (`127.0.0.1:8080`), in a line; undefined: somebody could. */
export async function listenObstacle(place: string): Promise<string | undefined> {
  const colon = place.lastIndexOf(':');
  const server = createServer().listen(
    Number(place.slice(colon + 1)),
    place.slice(0, colon).replace(/^\[|\]$/g, ''),
  );
  try {
    await once(server, 'listening');
    await once(server.close(), 'close');
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') return `${place} is in use on this machine`;
    if (code === 'EADDRNOTAVAIL') return `${place} is not on this machine`;
    return code === 'EACCES' ? `${place} takes CAP_NET_BIND_SERVICE on this machine` : message;
  }
}

export function readNetwork(): Network {
  return {
    privileged: ((effectiveCapabilities() >> CAP_NET_ADMIN) & 1n) === 1n,
    tun: canOpen('/dev/net/tun'),
    interfaces: interfaces(),
    ranges: [...addresses(), ...routes()],
  };
}

function effectiveCapabilities(): bigint {
  const set = /^CapEff:\s*([0-9a-f]+)$/m.exec(text('/proc/self/status'))?.[1];
  return BigInt(`0x${set ?? '0'}`);
}

/** Two lines of headings; then a name and a colon in front of each interface's figures. */
function interfaces(): readonly string[] {
  return text('/proc/net/dev')
    .split('\n')
    .slice(2)
    .flatMap((line) => /^\s*(\S+?):/.exec(line)?.[1] ?? []);
}

function addresses(): Network['ranges'] {
  return Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
    all.flatMap(({ family, cidr }) =>
      family === 'IPv4' && cidr !== null ? [{ range: cidr, interface: name }] : [],
    ),
  );
}

/** Of the main table: interface, target and mask in hexadecimal, the lowest byte first. */
function routes(): Network['ranges'] {
  return text('/proc/net/route')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split('\t');
      const [name, target, mask] = [fields[0], fields[1], fields[7]];
      if (name === undefined || target === undefined || mask === undefined) return [];
      const bits = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === '1').length;
      const bytes = target.match(/../g)!.reverse();
      const address = bytes.map((byte) => Number.parseInt(byte, 16)).join('.');
      return [{ range: `${address}/${bits}`, interface: name }];
    });
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
