/** libxenevtchn on the simulator: requests for everything but what is pending, which the machine's source has. */
import { Errno, OsError } from '../errno.ts';
import type { Evtchn, EvtchnOptions } from '../evtchn.ts';
import type { HandleRegistry, RestrictableHandle } from '../toolcore.ts';
import type { EventSource, Machine } from './machine.ts';

export class SimEvtchn implements Evtchn {
  readonly fd: number;
  readonly #machine: Machine;
  readonly #handles: HandleRegistry;
  readonly #source: EventSource;
  /** Of the two calls that are made for every event. */
  readonly #args = { handle: 0, port: 0 };
  #open = true;
  #restrictedTo: number | undefined;
  /** The device refuses a second restriction even to the same domain, which the registry has to bear. */
  readonly #entry: RestrictableHandle = {
    restrict: (domid) => {
      if (this.#restrictedTo !== domid) {
        this.restrict(domid);
      }
    },
  };

  constructor(machine: Machine, handles: HandleRegistry, options: EvtchnOptions) {
    if (options.adoptFd !== undefined) {
      throw new OsError(Errno.EOPNOTSUPP, 'adopt an event channel descriptor');
    }
    this.#machine = machine;
    this.#handles = handles;
    this.#source = machine.openEvents();
    this.fd = this.#source.fd;
    handles.register(this.#entry);
  }

  onReadable(callback: () => void): () => void {
    this.#handle();
    return this.#source.onReadable(callback);
  }

  pending(): number | undefined {
    return this.#open ? this.#source.take() : undefined;
  }

  pendingAll(ports: Uint32Array): number {
    return this.#open ? this.#source.takeAll(ports) : 0;
  }

  unmask(port: number): void {
    this.#args.handle = this.#handle();
    this.#args.port = port;
    this.#machine.call('evtchnUnmask', this.#args);
  }

  bindUnboundPort(domid: number): number {
    return this.#machine.call('evtchnBindUnbound', { handle: this.#handle(), domid }).port;
  }

  bindInterdomain(domid: number, remotePort: number): number {
    const args = { handle: this.#handle(), domid, port: remotePort };
    return this.#machine.call('evtchnBindInterdomain', args).port;
  }

  bindVirq(virq: number): number {
    return this.#machine.call('evtchnBindVirq', { handle: this.#handle(), virq }).port;
  }

  bind(port: number): void {
    this.#machine.call('evtchnBind', { handle: this.#handle(), port });
  }

  unbind(port: number): void {
    this.#machine.call('evtchnUnbind', { handle: this.#handle(), port });
  }

  notify(port: number): void {
    this.#args.handle = this.#handle();
    this.#args.port = port;
    this.#machine.call('evtchnNotify', this.#args);
  }

  flush(): void {
    this.#machine.flush?.();
  }

  restrict(domid: number): void {
    this.#machine.call('evtchnRestrict', { handle: this.#handle(), domid });
    this.#restrictedTo = domid;
  }

  close(): void {
    if (!this.#open) {
      return;
    }
    this.#open = false;
    this.#handles.deregister(this.#entry);
    try {
      this.#machine.call('evtchnClose', { handle: this.#source.handle });
    } catch (error) {
      // The domain has ended meanwhile, and its files with it.
      if (!(error instanceof OsError)) {
        throw error;
      }
    } finally {
      this.#source.close();
    }
  }

  #handle(): number {
    if (!this.#open) {
      throw new OsError(Errno.EBADF, 'event channel handle');
    }
    return this.#source.handle;
  }
}
