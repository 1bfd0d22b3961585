/**
 * Event channels of all of a backend's devices through one handle: who is called for which port. A port that fired stays shut until `open`
 * is called for it, so that a guest's storm costs him alone. Knows no device.
 */
import type { Evtchn } from './evtchn.ts';

export class Ports {
  readonly #evtchn: Evtchn;
  readonly #callbacks = new Map<number, () => void>();
  readonly #stop: () => void;

  constructor(evtchn: Evtchn) {
    this.#evtchn = evtchn;
    this.#stop = evtchn.onReadable(() => {
      for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending())
        this.#callbacks.get(port)?.();
    });
  }

  /** Connects to a guest's port. Throws OsError. */
  bind(domid: number, remotePort: number, onEvent: () => void): number {
    const port = this.#evtchn.bindInterdomain(domid, remotePort);
    this.#callbacks.set(port, onEvent);
    return port;
  }

  /** Lets a port that fired fire again. */
  open(port: number): void {
    this.#evtchn.unmask(port);
  }

  notify(port: number): void {
    this.#evtchn.notify(port);
  }

  unbind(port: number): void {
    this.#callbacks.delete(port);
    this.#evtchn.unbind(port);
  }

  close(): void {
    this.#stop();
    this.#evtchn.close();
  }
}
