/**
 * Server-sent events out of a stream of text (the HTML standard, 9.2), fed in pieces of any size. EventSource itself cannot send a token.
 * Knows no network.
 */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** Characters that an unfinished event may hold: a server that never ends one is no server. */
const EVENT_MAX = 32 << 20;

export class SseParser {
  #rest = '';
  #data: string[] = [];
  #event = '';
  #id = '';
  #lastId = '';

  /** Of the last whole event that had one, even if it had nothing else. */
  get lastId(): string {
    return this.#lastId;
  }

  /** The events that are whole now. Throws when one grows beyond all measure. */
  feed(piece: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    if (this.#rest.length > EVENT_MAX) throw new Error('an event without end');
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0)
          found.push({ event: this.#event || 'message', data: this.#data.join('\n') });
        this.#lastId = this.#id;
        this.#data = [];
        this.#event = '';
      } else this.#field(line);
    }
    return found;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }
}
