// Event channel ports of one process, each with what is to be called when it fires.
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';

export class Ports {
  readonly handle: Evtchn;
  readonly #served = new Map<number, () => void>();

  constructor(platform: SimPlatform) {
    this.handle = platform.openEvtchn();
    this.handle.onReadable(() => {
      for (let port = this.handle.pending(); port !== undefined; port = this.handle.pending()) {
        this.handle.unmask(port);
        this.#served.get(port)?.();
      }
    });
  }

  serve(port: number, callback: () => void): number {
    this.#served.set(port, callback);
    return port;
  }

  close(port: number): void {
    this.#served.delete(port);
    this.handle.unbind(port);
  }
}
