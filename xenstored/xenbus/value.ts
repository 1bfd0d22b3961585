/**
 * Values that somebody else wrote into the store, checked once: decimal numbers, flags, MAC addresses, text. A guest writes what it
 * likes; what does not pass costs the device one clear line and nothing else. Knows no device's keys.
 */

/** A checked value, or one line that says which key is wrong and why. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string };

/**
 * Keys as they are needed: yields the name of a key, relative to the directory, takes its value (`undefined`: no such key) and returns
 * what all of them mean. So a reader needs no store and asks for no key in vain.
 */
export type KeyReader<T> = Generator<string, Checked<T>, string | undefined>;

/** Runs a reader over keys that are at hand. */
export function readKeys<T>(reader: KeyReader<T>, get: (key: string) => string | undefined): Checked<T> {
  let step = reader.next();
  while (step.done !== true) step = reader.next(get(step.value));
  return step.value;
}

/** Decimal digits only: no sign, no space, no trailing byte, at most 2^53 - 1. `undefined`: not a number within `min..max`. */
export function parseNumber(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= Math.min(max, Number.MAX_SAFE_INTEGER) ? value : undefined;
}

/** Six bytes in hexadecimal with colons. Not a multicast address, since nobody may send from one. */
export function parseMac(text: string): readonly number[] | undefined {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return undefined;
  const bytes = text.split(':').map((byte) => Number.parseInt(byte, 16));
  return (bytes[0]! & 1) === 0 ? bytes : undefined;
}

/** A peer's value for an error message: short, printable, in quotes. */
export function quoted(text: string): string {
  const shown = text.length > 32 ? `${text.slice(0, 32)}...` : text;
  return JSON.stringify(shown.replace(/[^ -~]/g, '?'));
}

/** Event channel ports and grant references as numbers: 0 is no port, and there are 2^17 of them at most (xen/event_channel.h). */
export const PORT_MAX: number = 0x1_ffff;
export const GREF_MAX: number = 0xffff_ffff;

/**
 * Collects the values of one directory. After the first complaint every answer is a harmless stand-in (a number's lower bound), so that a
 * reader needs no branch for each key; `result` has the last word.
 */
export class Checker {
  #error: string | undefined;

  get ok(): boolean {
    return this.#error === undefined;
  }

  fail(key: string, why: string): void {
    this.#error ??= `${key}: ${why}`;
  }

  /** A number within `min..max`; a missing key gives `absent`, or is a complaint if there is none. */
  number(key: string, text: string | undefined, min: number, max: number, absent?: number): number {
    if (text === undefined && absent !== undefined) return absent;
    const value = parseNumber(text, min, max);
    if (value !== undefined) return value;
    this.fail(key, text === undefined ? 'missing' : `${quoted(text)} is not a number from ${min} to ${max}`);
    return min;
  }

  port(key: string, text: string | undefined): number {
    return this.number(key, text, 1, PORT_MAX);
  }

  gref(key: string, text: string | undefined): number {
    return this.number(key, text, 0, GREF_MAX);
  }

  /** `0` or `1`; Linux and others take any number but 0 for yes, and so does this. */
  flag(key: string, text: string | undefined, absent: 0 | 1 = 0): boolean {
    return this.number(key, text, 0, GREF_MAX, absent) !== 0;
  }

  /** One of a few words. */
  word<T extends string>(key: string, text: string | undefined, words: readonly T[], absent?: T): T {
    const word = words.find((candidate) => candidate === (text ?? absent));
    if (word === undefined)
      this.fail(key, text === undefined ? 'missing' : `${quoted(text)} is none of ${words.join(', ')}`);
    return word ?? words[0]!;
  }

  /** Printable text of at most `max` characters. */
  text(key: string, text: string | undefined, max: number, absent?: string): string {
    const value = text ?? absent;
    if (value === undefined) this.fail(key, 'missing');
    else if (value.length > max || /[^ -~]/.test(value))
      this.fail(key, `${quoted(value)} is not ${max} printable characters at most`);
    else return value;
    return '';
  }

  result<T>(value: T): Checked<T> {
    return this.#error === undefined ? { ok: true, value } : { ok: false, error: this.#error };
  }
}
