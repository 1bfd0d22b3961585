/** A guest that asks for anything that might be, in no order: any command of the extension for a few sockets, with rings that there are. By seed. */
import { randomBytes } from 'node:crypto';
import { type Call, Command } from '../../netback/xensock/core/pvcalls.ts';
import { SeededRandom } from '../../osdep/sim/random.ts';
import { at, machine } from './sock-io-host.ts';
import { addressed, type RawRing, type RawSockGuest } from './sock-rawguest.ts';

const IPS = ['127.0.0.1', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1', '127.0.0.2'];
/** Where no test gets a port by chance, and not the same ones as another process. */
const PORT = 20_000 + 2 * (process.pid % 5000);
const IDS = [1n, 2n, 3n, 4n, 5n, 6n];

export class Noise {
  readonly #guest: RawSockGuest;
  readonly #random: SeededRandom;
  readonly #calls: readonly (() => Call)[];
  readonly #rings: readonly RawRing[];
  #asked = 0;

  /** `port`: of a server of this machine. */
  constructor(guest: RawSockGuest, seed: number, port: number) {
    this.#guest = guest;
    this.#random = new SeededRandom(seed);
    this.#rings = [1, 1, 2, 3].map((order) => guest.ring(order));
    const one = <T>(of: readonly T[]): T => this.#one(of);
    const below = (limit: number): number => this.#random.below(limit);
    const address = (): ReturnType<typeof addressed> =>
      addressed(one([machine(port), machine(1), ...[0, PORT, PORT + 1].map((own) => at(one(IPS), own))]));
    const option = (): { readonly level: number; readonly name: number } => ({
      level: one([1, 6, 41]),
      name: below(30),
    });
    this.#calls = [
      () => ({ command: Command.SOCKET, domain: one([2, 2, 10]), type: one([1, 1, 2]), protocol: 0 }),
      () => ({ command: Command.CONNECT, ...address(), flags: 0, ...one(this.#rings).ringed }),
      () => ({ command: Command.BIND, ...address() }),
      () => ({ command: Command.LISTEN, backlog: one([0, 1, 5]) }),
      () => ({ command: Command.ACCEPT, newId: one(IDS), ...one(this.#rings).ringed }),
      () => ({ command: Command.POLL }),
      () => ({ command: Command.RELEASE, reuse: one([true, false]) }),
      () => ({ command: Command.SHUTDOWN, how: below(4) }),
      () => ({ command: Command.GETSOCKNAME }),
      () => ({ command: Command.GETPEERNAME }),
      () => ({ command: Command.GETSOCKOPT, ...option() }),
      () => ({ command: Command.SETSOCKOPT, ...option(), value: Uint8Array.of(1, 0, 0, 0) }),
      () => ({ command: Command.ATTACH, ...one(this.#rings).ringed }),
    ];
  }

  /** Some commands, and something in or out of a ring. */
  round(): void {
    const { commands } = this.#guest;
    for (let count = this.#random.below(6); count > 0 && commands.free > 0; count--)
      this.#ask(this.#one(IDS), this.#one(this.#calls)());
    const ring = this.#one(this.#rings);
    if (this.#random.below(3) === 0) ring.put(randomBytes(this.#random.below(9000)));
    else ring.get();
    // What waits for good is given up.
    if (commands.free < 8)
      for (const id of IDS) if (commands.free > 0) this.#ask(id, { command: Command.RELEASE, reuse: false });
    this.#guest.show();
  }

  /** Requests without a response. */
  get waiting(): number {
    return this.#asked - this.#guest.responses.length;
  }

  /** Requests with more than one. */
  get answeredTwice(): readonly number[] {
    const seen = new Set<number>();
    return this.#guest.responses.flatMap(({ reqId }) => {
      if (seen.has(reqId)) return [reqId];
      seen.add(reqId);
      return [];
    });
  }

  #ask(id: bigint, call: Call): void {
    this.#guest.put(id, call);
    this.#asked += 1;
  }

  #one<T>(of: readonly T[]): T {
    return of[this.#random.below(of.length)]!;
  }
}
