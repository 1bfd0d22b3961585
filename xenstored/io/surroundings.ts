/**
 * What CONTROL can do to the daemon's own surroundings: the trace, its switches and its file, a report on memory, a line for the log.
 */
import { appendFileSync } from 'node:fs';
import type { Surroundings as CoreSurroundings } from '../core/ports.ts';
import type { TraceFile } from './trace.ts';

export interface SurroundingsOptions {
  readonly trace: TraceFile;
  /** The trace was opened or closed. */
  readonly traceChanged: () => void;
  readonly print: (text: string) => void;
}

export class Surroundings implements CoreSurroundings {
  readonly switches: Map<string, boolean>;
  readonly #options: SurroundingsOptions;

  constructor(options: SurroundingsOptions) {
    this.#options = options;
    this.switches = options.trace.switches;
  }

  setTrace(on: boolean): void {
    const { trace, traceChanged } = this.#options;
    if (on) trace.open();
    else trace.close();
    traceChanged();
  }

  setLogFile(file: string): boolean {
    const { trace, traceChanged } = this.#options;
    trace.close();
    const opened = trace.setFile(file);
    traceChanged();
    return opened;
  }

  memreport(file: string | undefined): boolean {
    const { trace } = this.#options;
    const target = file === undefined ? trace.file : trace.resolve(file);
    if (target === undefined) return false;
    trace.flush();
    try {
      appendFileSync(target, memoryReport(), { mode: 0o600 });
      return true;
    } catch {
      return false;
    }
  }

  print(text: string): void {
    this.#options.print(text);
  }
}

/** C prints its tree of allocations; ours is the engine's, in bytes. */
function memoryReport(): string {
  const lines = Object.entries(process.memoryUsage()).map(
    ([name, bytes]) => `${name.padEnd(14)}: ${bytes}\n`,
  );
  return `memory of process ${process.pid}, bytes:\n${lines.join('')}`;
}
