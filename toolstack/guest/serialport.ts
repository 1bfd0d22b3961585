/**
 * A driver of a 16550A serial port, as a small guest has it: told by an interrupt that something has come, or that there is room. A port that is not there is
 * looked for again. Knows no lines and no commands.
 */
import type { Clock } from '../../osdep/clock.ts';
import { ConsoleBuffer } from '../core/consolebuffer.ts';

export interface SerialPortOptions {
  /** Bytes at ports. */
  readonly io: {
    read(address: number): Promise<number>;
    write(address: number, value: number): Promise<void>;
  };
  readonly clock: Pick<Clock, 'after'>;
  readonly onInput: (bytes: Uint8Array) => void;
  /** It is there, or is there again. */
  readonly onFound: () => void;
}

const COM1 = 0x3f8;
const [DATA, IER, IIR, LCR, MCR, LSR, SCRATCH] = [0, 1, 2, 3, 4, 5, 7];
const FCR = IIR;
const FIFO_BYTES = 16;
const KEPT_BYTES = 65_536;
const PATIENCE_MS = 1000;
/** Enabled, cleared, told at 8 of 16. */
const FIFO_ON = 0x87;
const DLAB = 0x80;
const BITS_8 = 3;
/** 115,200 baud. */
const DIVISOR = 1;
/** DTR, RTS, and OUT2, which lets interrupts through. */
const LINES_ON = 0x0b;
const WANTED = 1;
const LSR_READY = 1;
const LSR_EMPTY = 0x20;
const NOBODY = 0xff;

export class SerialPort {
  readonly #options: SerialPortOptions;
  readonly #kept = new ConsoleBuffer(KEPT_BYTES);
  #there = false;
  #busy = false;
  #again = false;

  constructor(options: SerialPortOptions) {
    this.#options = options;
    this.kick();
  }

  write(text: string): void {
    this.#kept.append(Buffer.from(text));
    this.kick();
  }

  /** Looks at what there is to do; for whoever hears of an interrupt. */
  kick(): void {
    this.#again = true;
    if (!this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#again) {
      this.#again = false;
      if (!this.#there) this.#there = await this.#begin();
      if (this.#there) this.#there = await this.#serve();
      if (!this.#there) this.#options.clock.after(PATIENCE_MS, () => this.kick());
    }
    this.#busy = false;
  }

  /** False: there is none. */
  async #begin(): Promise<boolean> {
    await this.#out(SCRATCH, 0x5a);
    if ((await this.#in(SCRATCH)) !== 0x5a) return false;
    await this.#out(IER, 0);
    await this.#out(LCR, DLAB | BITS_8);
    await this.#out(DATA, DIVISOR);
    await this.#out(IER, 0);
    await this.#out(LCR, BITS_8);
    await this.#out(FCR, FIFO_ON);
    await this.#out(MCR, LINES_ON);
    await this.#out(IER, WANTED);
    this.#options.onFound();
    return true;
  }

  /** Until there is nothing to do; false: the port is gone. */
  async #serve(): Promise<boolean> {
    for (;;) {
      const line = await this.#in(LSR);
      if (line === NOBODY) return false;
      if ((line & LSR_READY) !== 0) this.#options.onInput(Uint8Array.of(await this.#in(DATA)));
      else if (this.#kept.empty || (line & LSR_EMPTY) === 0) return true;
      else await this.#fill();
    }
  }

  /** As much as an empty transmitter takes. */
  async #fill(): Promise<void> {
    const bytes = this.#kept.first().slice(0, FIFO_BYTES);
    this.#kept.take(bytes.length);
    for (const byte of bytes) await this.#out(DATA, byte);
  }

  #in(register: number): Promise<number> {
    return this.#options.io.read(COM1 + register);
  }

  #out(register: number, value: number): Promise<void> {
    return this.#options.io.write(COM1 + register, value);
  }
}
