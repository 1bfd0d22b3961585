/**
 * Whether the machine can have a way in to its guests: a TAP of a name and address that nobody uses yet. Knows no system call: what there is on the
 * machine is an argument.
 */

export interface Uplink {
  /** The interface's name on the machine. */
  readonly name: string;
  /** The machine's address on it, `10.53.0.1/24`. */
  readonly address: string;
}

export interface Network {
  /** The machine lets this process make interfaces (CAP_NET_ADMIN). */
  readonly privileged: boolean;
  /** /dev/net/tun can be opened. */
  readonly tun: boolean;
  readonly interfaces: readonly string[];
  /** Ranges in use, each with the interface that uses it; routes as well as addresses. */
  readonly ranges: readonly { readonly range: string; readonly interface: string }[];
}

/** Why there will be no way in, and what to do, in one line; undefined: nothing speaks against it. */
export function obstacle({ name, address }: Uplink, network: Network): string | undefined {
  if (!network.privileged) return `making ${name} takes CAP_NET_ADMIN: run it as root`;
  if (!network.tun) return '/dev/net/tun cannot be opened: load the module tun, or pass the device in';
  if (network.interfaces.includes(name))
    return `there is an interface ${name} already: name another in the host file`;
  const user = network.ranges.find(({ range }) => overlap(range, address));
  if (user === undefined) return undefined;
  return `${user.interface} uses ${user.range}, which ${address} is in: pick other addresses in the host file`;
}

/** Two ranges of IPv4 in the form `address/bits`. A default route is no use of anything, nor is one in two halves, as VPNs set it. */
function overlap(one: string, other: string): boolean {
  const [a, b] = [parse(one), parse(other)];
  const bits = Math.min(a.bits, b.bits);
  if (bits <= 1) return false;
  return a.number >>> (32 - bits) === b.number >>> (32 - bits);
}

function parse(range: string): { readonly number: number; readonly bits: number } {
  const [address = '', bits = '32'] = range.split('/');
  const number = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
  return { number, bits: Number(bits) };
}
