/** Addresses that a key may come from: those of OpenSSH's `from=`, but names, which would have to be asked of somebody. */
import { BlockList, isIP } from 'node:net';

export interface Addresses {
  has(address: string): boolean;
}

/** `192.0.2.1,10.0.0.0/8,!10.0.0.9,fe80::/10`; undefined: it is none of that. `!`: not from there, whatever else is said. */
export function parseAddresses(text: string): Addresses | undefined {
  const allowed = new BlockList();
  const denied = new BlockList();
  for (const item of text.split(',')) {
    const [, not, address = '', bits] = /^(!?)([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(item.trim()) ?? [];
    const family = isIP(address);
    if (family === 0 || Number(bits ?? 0) > (family === 4 ? 32 : 128)) return undefined;
    const list = not === '!' ? denied : allowed;
    const kind = family === 4 ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, kind);
    else list.addSubnet(address, Number(bits), kind);
  }
  return {
    has: (address) => {
      const plain = plainAddress(address);
      const kind = isIP(plain) === 4 ? 'ipv4' : 'ipv6';
      return isIP(plain) !== 0 && !denied.check(plain, kind) && allowed.check(plain, kind);
    },
  };
}

/** An IPv4 address that came to an IPv6 socket, as it is. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '').replace(/%.*$/, '');
}
