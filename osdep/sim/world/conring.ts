/** The hypervisor's own console, what domains write to it included, and what it says of itself. */
import type { XenVersion } from '../../ctrl.ts';

const RING_SIZE = 16_384;

export const VERSION: XenVersion = {
  major: 4,
  minor: 22,
  extra: '.0-sim',
  changeset: 'unavailable',
  capabilities: 'hvm-3.0-x86_64 hvm-3.0-x86_32p hvm-3.0-x86_32',
  commandline: '',
};

export class ConRing {
  #text = '';
  /** Characters ever written. */
  #end = 0;

  write(domid: number, text: string): void {
    const line = `(d${domid}) ${text.endsWith('\n') ? text : `${text}\n`}`;
    this.#text = (this.#text + line).slice(-RING_SIZE);
    this.#end += line.length;
  }

  /** From `index` on, as far as it is still there. */
  read(index: number, clear: 'clear' | 'keep'): { text: string; index: number } {
    const start = this.#end - this.#text.length;
    const text = this.#text.slice(Math.max(0, index - start));
    if (clear === 'clear') {
      this.#text = '';
    }
    return { text, index: this.#end };
  }
}
