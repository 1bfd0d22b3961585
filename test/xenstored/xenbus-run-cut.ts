// A connection to the store that is cut at a given message: with its process, or alone.
import { at } from '../../xenstored/client/address.ts';
import type { Connector } from '../../xenstored/client/index.ts';

/** What to do at which of its messages to the store: the process dies, or its connection does. */
export interface Cut {
  readonly at: number;
  /** Whether the message still arrives. */
  readonly sent: boolean;
  readonly what: 'kill' | 'lose';
}

/** A socket that counts messages and is cut once. */
export class Cutter implements Connector {
  readonly name = 'cut';
  messages = 0;
  dead = false;
  done = false;
  readonly #path: string;
  readonly #cut: Cut | undefined;
  readonly #kill: () => void;

  constructor(path: string, cut: Cut | undefined, kill: () => void) {
    this.#path = path;
    this.#cut = cut;
    this.#kill = kill;
  }

  async connect(user: Parameters<Connector['connect']>[0]): ReturnType<Connector['connect']> {
    if (this.dead) throw Object.assign(new Error('dead'), { code: 'ECONNREFUSED' });
    const way = await at(this.#path).connect(user);
    return {
      close: () => way.close(),
      send: (message) => {
        if (this.dead) return;
        const cut = this.#cut;
        if (cut === undefined || this.done || this.messages++ !== cut.at) {
          way.send(message);
          return;
        }
        this.done = true;
        if (cut.sent) way.send(message);
        if (cut.what === 'kill') this.#kill();
        // Behind what has been sent.
        setImmediate(() => {
          way.close();
          if (cut.what === 'lose') user.closed(new Error('cut'));
        });
      },
    };
  }
}
