/**
 * Event channels of all of a backend's devices through one handle: who is called for which port. A port that fired stays shut until `open`
 * is called for it, so that a guest's storm costs him alone. Knows no device.
 */
import type { Evtchn } from './evtchn.ts';

/** Ports taken at a time. */
const PORTS = 256;
/** How often, before Node's loop has its turn: guests who ring without end, each of many ports as soon as it is open, are no end to it. */
const ROUNDS = 8;

export class Ports {
  readonly #evtchn: Evtchn;
  readonly #callbacks = new Map<number, () => void>();
  readonly #stop: () => void;
  readonly #fired: Uint32Array = new Uint32Array(PORTS);
  #goesOn = false;

  constructor(evtchn: Evtchn) {
    this.#evtchn = evtchn;
    this.#stop = evtchn.onReadable(() => this.#takeAll());
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

  /** What was said so far is on its way, for who does not return soon. */
  flush(): void {
    this.#evtchn.flush();
  }

  unbind(port: number): void {
    this.#callbacks.delete(port);
    this.#evtchn.unbind(port);
  }

  close(): void {
    this.#stop();
    this.#evtchn.close();
  }

  /** One that is unbound by another's callback is not called; its number may be somebody else's by now, who bears an event too many. */
  #takeAll(): void {
    for (let left = ROUNDS; left > 0; left--) {
      const count = this.#evtchn.pendingAll(this.#fired);
      for (let i = 0; i < count; i++) this.#callbacks.get(this.#fired[i]!)?.();
      if (count < PORTS) return;
    }
    // Nobody tells again of what is there already.
    if (this.#goesOn) return;
    this.#goesOn = true;
    setImmediate(() => {
      this.#goesOn = false;
      this.#takeAll();
    });
  }
}
