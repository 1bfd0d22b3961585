/**
 * A serial port for a guest: the UART at COM1 on one side, a terminal on the other. Its registers are in memory that it is given, and outlive it if that does.
 * Knows no store.
 */
import type { Poller } from '../../osdep/os/poll.ts';
import type { Platform } from '../../osdep/platform.ts';
import { Uart } from '../core/uart.ts';
import { PtyEnd } from '../io/ptyend.ts';
import { IoreqServer, type PortDevice } from './ioreqserver.ts';

export interface SerialOptions {
  readonly platform: Platform;
  readonly poller: Poller;
  /** Whose port it is. */
  readonly domid: number;
  /** Of the terminal: see PtyEnd. */
  readonly mark: number;
  /** Of the UART: zeroed, or as a predecessor left it. */
  readonly state: Uint8Array;
}

/** COM1, as every PC has it. */
const PORTS = { first: 0x3f8, last: 0x3ff };
const IRQ = 4;
const LIMIT_BYTES = 1 << 20;
const FIFO_BYTES = 16;

export class SerialPort implements PortDevice {
  readonly #uart: Uart;
  readonly #terminal: PtyEnd;
  readonly #server: IoreqServer;
  readonly #byte = new Uint8Array(1);
  readonly #bytes = new Uint8Array(FIFO_BYTES);
  #level: 0 | 1 = 0;

  /** Throws OsError. */
  constructor({ platform, poller, domid, mark, state }: SerialOptions) {
    this.#uart = new Uart(state);
    this.#terminal = new PtyEnd({
      poller,
      clock: platform.clock,
      limit: LIMIT_BYTES,
      mark,
      typed: () => this.#receive(),
    });
    try {
      this.#server = new IoreqServer({ platform, domid, ports: PORTS, device: this });
    } catch (error) {
      this.#terminal.close();
      throw error;
    }
    // Nobody knows whether a predecessor's last change was heard.
    this.#level = this.#uart.interrupt ? 1 : 0;
    this.#server.setIrq(IRQ, this.#level);
    this.#terminal.listen(this.#uart.room > 0 ? 'on' : 'off');
  }

  /** The terminal's name. */
  get terminal(): string {
    return this.#terminal.name;
  }

  read(at: number): number {
    return this.#uart.read(at);
  }

  write(at: number, value: number): void {
    const sent = this.#uart.write(at, value);
    if (sent === undefined) return;
    this.#byte[0] = sent;
    this.#terminal.say(this.#byte);
  }

  settled(): void {
    this.#terminal.listen(this.#uart.room > 0 ? 'on' : 'off');
    const level = this.#uart.interrupt ? 1 : 0;
    if (level === this.#level) return;
    this.#level = level;
    this.#server.setIrq(IRQ, level);
  }

  close(): void {
    this.#server.close();
    this.#terminal.close();
  }

  #receive(): void {
    const { room } = this.#uart;
    const count = room === 0 ? 0 : this.#terminal.take(this.#bytes.subarray(0, room));
    this.#uart.receive(this.#bytes.subarray(0, count));
    this.settled();
  }
}
