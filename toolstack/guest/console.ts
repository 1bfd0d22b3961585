/**
 * A guest's end of its console ring: what it prints goes out as fast as its server takes it, what somebody types comes in. A server that takes nothing costs
 * what was printed in the middle, never the guest. Follows xen/include/public/io/console.h. Knows no lines and no commands.
 */
import { Errno, OsError } from '../../osdep/errno.ts';
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import type { Platform } from '../../osdep/platform.ts';
import { consoleFrontend, type RingEnd } from '../../osdep/ring/bytering.ts';
import { ConsoleBuffer } from '../core/consolebuffer.ts';

/** What a guest keeps that its server has not taken. */
const KEPT_BYTES = 65_536;

export class ConsoleFront {
  readonly #page: Mapping;
  readonly #end: RingEnd;
  readonly #evtchn: Evtchn;
  readonly #port: number;
  readonly #stop: () => void;
  readonly #kept = new ConsoleBuffer(KEPT_BYTES);
  readonly #onInput: (bytes: Uint8Array) => void;
  #closed = false;

  private constructor(platform: Platform, onInput: (bytes: Uint8Array) => void) {
    const { page, port } = platform.console.ring();
    this.#page = page;
    this.#end = consoleFrontend(page.bytes);
    this.#onInput = onInput;
    this.#evtchn = platform.openEvtchn();
    this.#evtchn.bind(port);
    this.#port = port;
    this.#stop = this.#evtchn.onReadable(() => this.#onEvent());
  }

  /** undefined: the domain has no console. `onInput`: of bytes that are its own. */
  static open(platform: Platform, onInput: (bytes: Uint8Array) => void): ConsoleFront | undefined {
    try {
      return new ConsoleFront(platform, onInput);
    } catch (error) {
      if (error instanceof OsError && error.errno === Errno.ENOENT) return undefined;
      throw error;
    }
  }

  write(text: string): void {
    if (this.#closed) return;
    this.#kept.append(Buffer.from(text));
    this.#push();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop();
    this.#evtchn.close();
    this.#page.unmap();
  }

  #onEvent(): void {
    while (this.#evtchn.pending() !== undefined) {}
    this.#evtchn.unmask(this.#port);
    this.#push();
    this.#take();
  }

  #push(): void {
    const { writer } = this.#end;
    let moved = false;
    for (;;) {
      const at = writer.position;
      const room = writer.room(at);
      if (this.#kept.empty || !room.ok || room.bytes === 0) break;
      const bytes = this.#kept.first().subarray(0, room.bytes);
      writer.put(at, bytes);
      writer.advance(at + bytes.length);
      this.#kept.take(bytes.length);
      moved = true;
    }
    if (moved) this.#evtchn.notify(this.#port);
  }

  #take(): void {
    if (this.#closed) return;
    const { reader } = this.#end;
    const at = reader.position;
    const there = reader.available(at);
    if (!there.ok || there.bytes === 0) return;
    const bytes = new Uint8Array(there.bytes);
    reader.peek(at, bytes);
    reader.advance(at + bytes.length);
    this.#evtchn.notify(this.#port);
    this.#onInput(bytes);
  }
}
