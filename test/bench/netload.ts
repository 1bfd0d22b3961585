/** The generator of the network bench, seen from the bench: guests in a process of their own (net-load-main.ts). */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Machine, MachineGuest } from './machine.ts';
import type { Order, Word } from './net-load-main.ts';
import type { LoadFrame } from './netframes.ts';

/** Of the guests' interfaces, by their order. */
export const MACS: readonly [Uint8Array, Uint8Array] = [
  Uint8Array.of(0, 0x16, 0x3e, 0, 0, 1),
  Uint8Array.of(0, 0x16, 0x3e, 0, 0, 2),
];

const macText = (mac: Uint8Array): string => Buffer.from(mac).toString('hex').replace(/..\B/g, '$&:');

export class NetLoad {
  /** Whether the backend cuts large packets up. */
  segments = false;
  readonly #child: ChildProcess;
  readonly #words: AsyncIterator<Word>;

  private constructor(run: string, tokens: readonly string[]) {
    this.#child = fork(join(import.meta.dirname, 'net-load-main.js'), [run, ...tokens]);
    this.#words = wordsOf(this.#child);
  }

  /** Two guests of the machine, each with an interface that is connected. */
  static async start(machine: Machine): Promise<NetLoad> {
    const guests: MachineGuest[] = [await machine.guest(), await machine.guest()];
    const load = new NetLoad(
      machine.run,
      guests.map(({ token }) => token),
    );
    for (const [index, { domid }] of guests.entries()) {
      const mac = macText(MACS[index]!);
      await machine.attach({
        device: { backendDomid: 0, kind: 'vif', frontendDomid: domid, devid: 0 },
        backend: { handle: '0', type: 'vif', mac },
        frontend: { handle: '0' },
        frontendReadOnly: { mac },
      });
    }
    const word = await load.#word();
    load.segments = word.what === 'ready' && word.segments;
    return load;
  }

  /** The first guest sends this, without end. */
  send({ frame, meta }: LoadFrame): void {
    this.#tell({ what: 'send', guest: 0, frame: Buffer.from(frame).toString('base64'), meta });
  }

  /** It sends no more, and all that it sent is answered. */
  async silence(): Promise<void> {
    this.#tell({ what: 'stop', guest: 0 });
    await pause(300);
  }

  /** Frames that a guest has had so far. */
  async received(guest: 0 | 1): Promise<number> {
    this.#tell({ what: 'count' });
    const word = await this.#word();
    if (word.what !== 'counts') throw new Error(`the generator says ${word.what}`);
    return word.received[guest]!;
  }

  stop(): void {
    this.#child.disconnect();
  }

  #tell(order: Order): void {
    this.#child.send(order);
  }

  async #word(): Promise<Word> {
    const { value, done } = await this.#words.next();
    if (done) throw new Error('the generator has ended');
    return value;
  }
}

async function* wordsOf(child: ChildProcess): AsyncGenerator<Word, undefined> {
  const said: Word[] = [];
  let wake: () => void = () => {};
  let ended = false;
  child.on('message', (word: Word) => {
    said.push(word);
    wake();
  });
  child.once('exit', () => {
    ended = true;
    wake();
  });
  while (!ended || said.length > 0) {
    const word = said.shift();
    if (word !== undefined) yield word;
    else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}
