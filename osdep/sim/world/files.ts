/**
 * Event channel files: what Linux's /dev/xen/evtchn adds to ports. A port belongs to one file, fires there once, and
 * stays masked until the program unmasks it. Knows nothing of the queue that a program reads.
 */
import { Domid } from '../../domid.ts';
import { Errno } from '../../errno.ts';
import type { Events } from './events.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { Domain, EvtchnFile, Port, State } from './state.ts';

type Empty = Record<never, never>;

export class Files {
  readonly #state: State;
  readonly #events: Events;

  constructor(state: State, events: Events) {
    this.#state = state;
    this.#events = events;
  }

  open(domain: Domain): EvtchnFile {
    const file: EvtchnFile = { handle: this.#state.serial(), restrictedTo: undefined, ports: new Set() };
    domain.files.set(file.handle, file);
    return file;
  }

  /** Closes the file and every port of it. */
  close(domain: Domain, file: EvtchnFile): void {
    for (const number of [...file.ports]) {
      const port = domain.ports.get(number);
      if (port !== undefined) {
        this.#events.shut(domain, port);
      }
    }
    domain.files.delete(file.handle);
    this.#state.effect({ kind: 'fileClosed', domid: domain.domid, handle: file.handle });
  }

  bindUnbound(domain: Domain, file: EvtchnFile, remoteDomid: number): Outcome<{ port: number }> {
    const remote = remoteDomid === Domid.SELF ? domain.domid : remoteDomid;
    // Not even for that one domain: as Linux has it, a restricted file only binds to what is offered.
    return file.restrictedTo !== undefined
      ? fail(Errno.EACCES)
      : this.#adopt(domain, file, this.#events.allocUnbound(domain, remote));
  }

  bindInterdomain(domain: Domain, file: EvtchnFile, remote: number, port: number): Outcome<{ port: number }> {
    return this.#restricted(file, remote === Domid.SELF ? domain.domid : remote)
      ? fail(Errno.EACCES)
      : this.#adopt(domain, file, this.#events.bindInterdomain(domain, remote, port));
  }

  bindVirq(domain: Domain, file: EvtchnFile, virq: number): Outcome<{ port: number }> {
    return file.restrictedTo !== undefined
      ? fail(Errno.EACCES)
      : this.#adopt(domain, file, this.#events.bindVirq(domain, virq, 0));
  }

  /** A port that a toolstack made before the domain ran, or that was made below the file. */
  bind(domain: Domain, file: EvtchnFile, number: number): Outcome<Empty> {
    const port = domain.ports.get(number);
    if (port === undefined || port.consumer !== undefined || port.file !== undefined) {
      return fail(Errno.EINVAL);
    }
    if (
      file.restrictedTo !== undefined &&
      (port.state === 'virq' || this.#restricted(file, port.remoteDomid))
    ) {
      return fail(Errno.EACCES);
    }
    this.#adopt(domain, file, done(port));
    return nothing;
  }

  unbind(domain: Domain, file: EvtchnFile, number: number): Outcome<Empty> {
    if (!(number > 0 && number <= domain.maxEvtchnPort)) {
      return fail(Errno.EINVAL);
    }
    const port = this.#own(domain, file, number);
    if (port === undefined) {
      return fail(Errno.ENOTCONN);
    }
    this.#events.shut(domain, port);
    return nothing;
  }

  notify(domain: Domain, file: EvtchnFile, number: number): Outcome<Empty> {
    const port = this.#own(domain, file, number);
    if (port === undefined) {
      return fail(Errno.ENOTCONN);
    }
    this.#events.ring(port);
    return nothing;
  }

  unmask(domain: Domain, file: EvtchnFile, number: number): Outcome<Empty> {
    const port = this.#own(domain, file, number);
    if (port?.masked) {
      this.#events.unmask(domain, port);
    }
    return nothing;
  }

  restrict(file: EvtchnFile, domid: number): Outcome<Empty> {
    if (file.restrictedTo !== undefined) {
      return fail(Errno.EACCES);
    }
    if (!(domid > 0 && domid < Domid.FIRST_RESERVED)) {
      return fail(Errno.EINVAL);
    }
    file.restrictedTo = domid;
    return nothing;
  }

  #restricted(file: EvtchnFile, domid: number): boolean {
    return file.restrictedTo !== undefined && file.restrictedTo !== domid;
  }

  #own(domain: Domain, file: EvtchnFile, number: number): Port | undefined {
    const port = domain.ports.get(number);
    return port?.file === file.handle ? port : undefined;
  }

  #adopt(domain: Domain, file: EvtchnFile, bound: Outcome<Port>): Outcome<{ port: number }> {
    if (!bound.ok) {
      return bound;
    }
    bound.value.file = file.handle;
    file.ports.add(bound.value.number);
    this.#events.unmask(domain, bound.value);
    return done({ port: bound.value.number });
  }
}
