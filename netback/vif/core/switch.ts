/**
 * A learning switch: from where a packet came and its Ethernet addresses to where it goes. A known address costs the same however many
 * ports there are; what is for many, or for nobody known, goes to all who may want it, at a bounded rate for each sender.
 * Knows ports as numbers, nothing of queues. VLAN tags are passed on as they are; there is one table for all of them.
 */
import { Credit } from './credit.ts';
import type { Header } from './header.ts';
import { MacTable } from './mactable.ts';
import { NONE } from './packets.ts';

export interface PortOptions {
  /** Its own address, which nobody else can send from or take over; undefined: it has none, as the way to a bridge. */
  readonly mac: Uint8Array | undefined;
  /** It may send from its own address only, and nothing is behind it. */
  readonly pinned: boolean;
  /** Addresses behind it that are remembered. */
  readonly learns: number;
  /** Packets a second from it that may go to all. */
  readonly floods: number;
}

/** As on a Linux bridge an interface may send from other addresses (a bridge in the guest, a shared address), but not from another one's own. */
export const guestPort: Omit<PortOptions, 'mac'> = { pinned: false, learns: 32, floods: 16_384 };
/** The rest of the world. */
export const uplinkPort: PortOptions = { mac: undefined, pinned: false, learns: 4096, floods: 262_144 };

/** Linux's bridge forgets after five minutes, too. */
const AGE_MS = 300_000;
const SECOND_MS = 1000;

interface SwitchPort {
  readonly number: number;
  readonly pinned: boolean;
  readonly floods: Credit;
}

/** Why a packet goes nowhere. */
export type Refusal = 'spoofed' | 'flood' | 'local';

export class Switch {
  readonly #table: MacTable;
  readonly #ports: (SwitchPort | undefined)[] = [];
  /** Ports in use, in no order. */
  readonly #used: number[] = [];
  /** Where the last packet goes: the first `targetCount`. */
  targets: Int32Array = new Int32Array(16);
  targetCount = 0;

  /** @param seed any 32 bits that guests don't know */
  constructor(seed: number) {
    this.#table = new MacTable(seed, AGE_MS);
  }

  /** Addresses it knows. */
  get addresses(): number {
    return this.#table.size;
  }

  /** The new port's number; numbers are used again. */
  add(options: PortOptions, now: number): number {
    const free = this.#ports.indexOf(undefined);
    const number = free === NONE ? this.#ports.length : free;
    const floods = new Credit(options.floods, SECOND_MS, options.floods, now);
    this.#ports[number] = { number, pinned: options.pinned, floods };
    this.#used.push(number);
    if (this.targets.length < this.#used.length) this.targets = new Int32Array(this.#used.length * 2);
    this.#table.addPort(number, options.pinned ? 0 : options.learns);
    if (options.mac !== undefined) this.#table.fix(number, options.mac, 0);
    return number;
  }

  remove(number: number): void {
    this.#table.removePort(number);
    this.#ports[number] = undefined;
    this.#used.splice(this.#used.indexOf(number), 1);
  }

  /** Finds where a packet goes: `targets`. A refusal: nowhere, and why. */
  forward(from: number, header: Header, now: number): Refusal | undefined {
    this.targetCount = 0;
    const { memory, start } = header;
    const port = this.#ports[from]!;
    const source = start + 6;
    if (!this.#mayBe(port, memory, source, now)) return 'spoofed';
    if (isLinkLocal(memory, start)) return 'local';
    const to = header.isMulticast ? NONE : this.#table.portOf(memory, start, now);
    if (to === from) return 'local';
    if (to !== NONE) {
      this.targets[this.targetCount++] = to;
      return undefined;
    }
    if (!port.floods.spend(1, now)) return 'flood';
    for (const other of this.#used) {
      // Behind a pinned port there is nobody but the one whose address is known.
      if (other === from || (!header.isMulticast && this.#ports[other]!.pinned)) continue;
      this.targets[this.targetCount++] = other;
    }
    return undefined;
  }

  #mayBe(port: SwitchPort, memory: Uint8Array, source: number, now: number): boolean {
    if ((memory[source]! & 1) !== 0 || isZero(memory, source)) return false;
    if (port.pinned) return this.#table.isOwn(port.number, memory, source);
    return this.#table.learn(port.number, memory, source, now);
  }
}

function isZero(mac: Uint8Array, at: number): boolean {
  for (let i = 0; i < 6; i++) if (mac[at + i] !== 0) return false;
  return true;
}

/** 01:80:c2:00:00:0x is for the next bridge and goes no further (IEEE 802.1D). */
function isLinkLocal(mac: Uint8Array, at: number): boolean {
  return (
    mac[at] === 0x01 &&
    mac[at + 1] === 0x80 &&
    mac[at + 2] === 0xc2 &&
    mac[at + 3] === 0 &&
    mac[at + 4] === 0 &&
    mac[at + 5]! < 16
  );
}
