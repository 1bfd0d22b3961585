/** Standard input and output of one command, as a stream of bytes over whatever brings them. */
import { Duplex } from 'node:stream';

export interface StdioWays {
  /** The command reads, and takes more. */
  wanted(): void;
  /** `written`: once there is room for more. */
  write(bytes: Uint8Array, written: () => void): void;
}

export class Stdio extends Duplex {
  readonly #ways: StdioWays;
  #wants = false;

  constructor(ways: StdioWays) {
    super({ allowHalfOpen: true });
    this.#ways = ways;
  }

  /** The command waits for input. */
  get wants(): boolean {
    return this.#wants;
  }

  /** Only while it wants. Undefined: there will be no more. */
  give(bytes: Uint8Array | undefined): void {
    if (this.readableEnded || this.destroyed) return;
    this.#wants = false;
    this.push(bytes ?? null);
  }

  /** Everything that the command wrote is on its way, or never will be. */
  async finish(): Promise<void> {
    if (!this.destroyed) await new Promise<void>((resolve) => this.end(() => resolve()));
    this.destroy();
  }

  override _read(): void {
    this.#wants = true;
    this.#ways.wanted();
  }

  override _write(bytes: Buffer, _: BufferEncoding, written: () => void): void {
    this.#ways.write(bytes, written);
  }
}
