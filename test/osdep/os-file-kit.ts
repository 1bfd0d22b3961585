/** A disk queue with a promise for each request, for tests that say what they want and look at the answer. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskFile } from '../../osdep/os/diskfile.ts';
import { type EngineName, IoQueue } from '../../osdep/os/file.ts';
import { IoMemory } from '../../osdep/os/iomemory.ts';
import { Poller } from '../../osdep/os/poll.ts';

/** What a request transfers: all of a memory, or part of it. */
export type Piece =
  | Uint8Array
  | { readonly memory: IoMemory; readonly offset: number; readonly length: number };

export interface AskOptions {
  readonly engine: EngineName;
  readonly depth?: number;
  readonly maxVectors?: number;
}

export class Asker {
  readonly poller: Poller = new Poller();
  readonly queue: IoQueue;
  readonly #answers = new Map<number, (result: number) => void>();

  constructor({ engine, ...options }: AskOptions) {
    this.queue = new IoQueue({
      ...options,
      poller: this.poller,
      engines: [engine],
      onDone: (tag, result) => {
        const answer = this.#answers.get(tag)!;
        this.#answers.delete(tag);
        answer(result);
      },
    });
  }

  read(disk: DiskFile, offset: number, ...pieces: readonly Piece[]): Promise<number> {
    return this.#answer(this.#with(this.queue.read(disk, offset), pieces));
  }

  write(disk: DiskFile, offset: number, ...pieces: readonly Piece[]): Promise<number> {
    return this.#answer(this.#with(this.queue.write(disk, offset), pieces));
  }

  flush(disk: DiskFile): Promise<number> {
    return this.#answer(this.queue.flush(disk));
  }

  discard(disk: DiskFile, offset: number, length: number): Promise<number> {
    return this.#answer(this.queue.discard(disk, offset, length));
  }

  secureDiscard(disk: DiskFile, offset: number, length: number): Promise<number> {
    return this.#answer(this.queue.secureDiscard(disk, offset, length));
  }

  zero(disk: DiskFile, offset: number, length: number): Promise<number> {
    return this.#answer(this.queue.zero(disk, offset, length));
  }

  /** Submits, and one request's answer. */
  now(request: Promise<number>): Promise<number> {
    this.queue.submit();
    return request;
  }

  async close(): Promise<void> {
    await this.queue.close();
    this.poller.close();
  }

  #with(tag: number, pieces: readonly Piece[]): number {
    if (tag < 0) return tag;
    for (const piece of pieces) {
      const { memory, offset, length } =
        piece instanceof Uint8Array
          ? { memory: new IoMemory(piece), offset: 0, length: piece.length }
          : piece;
      if (!this.queue.add(memory, offset, length)) throw new Error('more pieces than a request takes');
    }
    return tag;
  }

  #answer(tag: number): Promise<number> {
    if (tag < 0) throw new Error('the queue is full');
    return new Promise((resolve) => this.#answers.set(tag, resolve));
  }
}

/** A folder for images. `base`: on which file system. */
export function folder(base: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(base, 'stubdom0-disk-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function image(path: string, bytes: Uint8Array): string {
  writeFileSync(path, bytes);
  return path;
}

/** Whether this machine lets us do so; what a command prints, without its line end. */
export function attempt(command: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

/** Whether this machine grants an engine. */
export async function has(engine: EngineName): Promise<boolean> {
  const poller = new Poller();
  try {
    await new IoQueue({ poller, engines: [engine], depth: 1, onDone() {} }).close();
    return true;
  } catch {
    return false;
  } finally {
    poller.close();
  }
}
