/**
 * The client's terminal: its size, whether it is raw, and what a line's end is on it. Output that is not raw has its line feeds made into what a
 * terminal needs, as a kernel's terminal does.
 */
import type { Terminal } from '../cli/session.ts';

const CELLS_MAX = 1000;

export class ClientTerminal implements Terminal {
  #columns = 80;
  #rows = 24;
  #raw = false;
  /** Called when it became raw, or ceased to be. */
  rawChanged = (): void => {};
  resized = (): void => {};

  get columns(): number {
    return this.#columns;
  }

  get rows(): number {
    return this.#rows;
  }

  get raw(): boolean {
    return this.#raw;
  }

  setRaw(raw: boolean): void {
    if (this.#raw === raw) return;
    this.#raw = raw;
    this.rawChanged();
  }

  /** As the client says; 0: it does not know. */
  resize(columns: number, rows: number): void {
    const sane = (cells: number, otherwise: number): number =>
      cells > 0 ? Math.min(cells, CELLS_MAX) : otherwise;
    this.#columns = sane(columns, 80);
    this.#rows = sane(rows, 24);
    this.resized();
  }
}

/** Line feeds as a terminal that is not raw shows them. */
export function withReturns(bytes: Uint8Array): Uint8Array {
  if (!bytes.includes(10)) return bytes;
  return Buffer.from(Buffer.from(bytes).toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1');
}
