/**
 * A guest's way to devices behind ports: one access at a time, each waited for as a processor waits. Of the interrupt lines it knows that one has been raised.
 * Knows no device.
 */
import { type Evtchn, Virq } from '../../osdep/evtchn.ts';
import type { SimGuest } from '../../osdep/sim/guest.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';

/** Who makes the accesses. */
const VCPU = 0;

export class PortIo {
  readonly #guest: SimGuest;
  readonly #evtchn: Evtchn;
  readonly #answered: number;
  readonly #raised: number;
  readonly #onInterrupt: () => void;
  #last: Promise<unknown> = Promise.resolve();
  #wake = (): void => {};

  /** `onInterrupt`: a line has been raised, whichever. */
  constructor(platform: SimPlatform, onInterrupt: () => void) {
    this.#guest = platform.guest;
    this.#onInterrupt = onInterrupt;
    this.#evtchn = platform.openEvtchn();
    this.#answered = this.#evtchn.bindVirq(Virq.ARCH_0);
    this.#raised = this.#evtchn.bindVirq(Virq.ARCH_1);
    this.#evtchn.onReadable(() => this.#onEvents());
  }

  /** A byte; all ones where there is no device. */
  read(address: number): Promise<number> {
    return this.#access('read', address, 0);
  }

  async write(address: number, value: number): Promise<void> {
    await this.#access('write', address, value);
  }

  #access(direction: 'read' | 'write', address: number, value: number): Promise<number> {
    const done = this.#last.then(async () => {
      const request = { vcpu: VCPU, type: 'port', direction, address, size: 1, value } as const;
      const settled = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const at = this.#guest.io(request);
      if (at !== undefined) return at;
      await settled;
      return this.#guest.ioResult(VCPU);
    });
    this.#last = done.catch(() => {});
    return done;
  }

  #onEvents(): void {
    for (let port = this.#evtchn.pending(); port !== undefined; port = this.#evtchn.pending()) {
      this.#evtchn.unmask(port);
      if (port === this.#answered) this.#wake();
      if (port === this.#raised) this.#onInterrupt();
    }
  }
}
