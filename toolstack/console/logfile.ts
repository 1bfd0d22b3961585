/**
 * The log of one console: a file that is appended to, set aside when it has become too large, with so many older ones kept. One that cannot be written
 * costs its lines and nothing else, is told once, and is tried again. Knows no console.
 */
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { LineStamps } from '../core/consolelog.ts';

export interface LogOptions {
  /** Bytes of a file before it is set aside. */
  readonly maxBytes: number;
  /** Files besides the one that is written: `<path>.1` is the youngest. */
  readonly keep: number;
  /** Whether each line begins with the time. */
  readonly times: 'stamped' | 'plain';
}

/** Between attempts to write to what refused. */
const REST_MS = 1000;

export class LogFile {
  readonly #path: string;
  readonly #options: LogOptions;
  readonly #complain: (line: string) => void;
  readonly #stamps: LineStamps | undefined;
  #fd: number | undefined;
  #size = 0;
  /** Of the clock that never goes back: nothing is tried before. */
  #notBefore = 0;
  #refused = false;

  constructor(path: string, options: LogOptions, complain: (line: string) => void) {
    this.#path = path;
    this.#options = options;
    this.#complain = complain;
    if (options.times === 'stamped') this.#stamps = new LineStamps();
  }

  /** Written when it returns, unless that was impossible. */
  write(bytes: Uint8Array): void {
    const text = this.#stamps === undefined ? bytes : stamped(this.#stamps, bytes);
    if (this.#refused && performance.now() < this.#notBefore) return;
    try {
      this.#append(text);
      this.#refused = false;
    } catch (error) {
      this.close();
      this.#notBefore = performance.now() + REST_MS;
      if (!this.#refused) this.#complain(`${this.#path}: ${error instanceof Error ? error.message : error}`);
      this.#refused = true;
    }
  }

  /** It may be written to again. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #append(bytes: Uint8Array): void {
    const { maxBytes } = this.#options;
    this.#open();
    if (this.#size > 0 && this.#size + bytes.length > maxBytes) {
      this.close();
      this.#setAside();
      this.#open();
    }
    for (let at = 0; at < bytes.length; ) {
      const count = writeSync(this.#fd!, bytes, at);
      this.#size += count;
      at += count;
    }
  }

  #open(): void {
    if (this.#fd !== undefined) return;
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    this.#fd = openSync(this.#path, 'a', 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  #setAside(): void {
    const { keep } = this.#options;
    const older = (age: number): string => (age === 0 ? this.#path : `${this.#path}.${age}`);
    rmSync(older(keep), { force: true });
    for (let age = keep - 1; age >= 0; age--) {
      try {
        renameSync(older(age), older(age + 1));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
}

function stamped(stamps: LineStamps, bytes: Uint8Array): Uint8Array {
  return Buffer.concat(stamps.stamp(bytes, Buffer.from(timeStamp(new Date()))));
}

/** `[2024-05-06 07:08:09] `, of local time. */
function timeStamp(date: Date): string {
  const two = (value: number): string => `${value}`.padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `[${day} ${time}] `;
}
