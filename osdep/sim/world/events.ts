/**
 * Event channels: ports, their states, what is pending and what is masked (xen/common/event_channel.c as seen from a
 * domain). Deliveries go out as effects, to the file that holds the port. Knows nothing of files but their number,
 * and nothing of what an event means.
 */
import { Domid } from '../../domid.ts';
import { Errno } from '../../errno.ts';
import { Virq } from '../../evtchn.ts';
import { done, fail, nothing, type Outcome } from './outcome.ts';
import type { Domain, Port, State } from './state.ts';

const VIRQS = 24;

const GLOBAL_VIRQS: ReadonlySet<number> = new Set([
  Virq.CONSOLE,
  Virq.DOM_EXC,
  Virq.TBUF,
  Virq.DEBUGGER,
  Virq.CON_RING,
  Virq.PCPU_STATE,
  Virq.MEM_EVENT,
  Virq.ENOMEM,
]);

function isGlobalVirq(virq: number): boolean {
  return GLOBAL_VIRQS.has(virq);
}

export class Events {
  readonly #state: State;

  constructor(state: State) {
    this.#state = state;
  }

  /** A port of `owner` for `remoteDomid`, who need not exist yet. */
  allocUnbound(owner: Domain, remoteDomid: number): Outcome<Port> {
    if (owner.life !== 'alive') {
      return fail(Errno.EINVAL);
    }
    const port = this.#newPort(owner);
    if (port === undefined) {
      return fail(Errno.ENOSPC);
    }
    port.remoteDomid = remoteDomid;
    return done(port);
  }

  /** Connects to a port that waits for this domain; our end is pending at once, so that a raced notification is not lost. */
  bindInterdomain(domain: Domain, remoteDomid: number, remotePort: number): Outcome<Port> {
    const remote = this.#state.find(domain, remoteDomid);
    if (remote === undefined) {
      return fail(Errno.ESRCH);
    }
    const theirs = remote.ports.get(remotePort);
    if (theirs === undefined || theirs.state !== 'unbound' || theirs.remoteDomid !== domain.domid) {
      return fail(Errno.EINVAL);
    }
    const ours = this.#newPort(domain);
    if (ours === undefined) {
      return fail(Errno.ENOSPC);
    }
    ours.state = 'interdomain';
    ours.remoteDomid = remote.domid;
    ours.remotePort = theirs.number;
    theirs.state = 'interdomain';
    theirs.remotePort = ours.number;
    this.#raise(domain, ours);
    return done(ours);
  }

  bindVirq(domain: Domain, virq: number, vcpu: number): Outcome<Port> {
    if (!Number.isInteger(virq) || virq < 0 || virq >= VIRQS) {
      return fail(Errno.EINVAL);
    }
    if (vcpu !== 0) {
      return fail(isGlobalVirq(virq) || virq === Virq.ARGO ? Errno.EINVAL : Errno.ENOENT);
    }
    if (isGlobalVirq(virq) && this.virqHandler(virq) !== domain) {
      return fail(Errno.EBUSY);
    }
    if (domain.virqs.has(virq)) {
      return fail(Errno.EEXIST);
    }
    const port = this.#newPort(domain);
    if (port === undefined) {
      return fail(Errno.ENOSPC);
    }
    port.state = 'virq';
    port.virq = virq;
    domain.virqs.set(virq, port.number);
    if (virq === Virq.DOM_EXC) {
      this.#state.changed = new Set(this.#state.domains.keys());
    }
    return done(port);
  }

  /** EINVAL for a port that is closed already or the hypervisor's own. The peer falls back to waiting for us. */
  close(domain: Domain, number: number): Outcome<Record<never, never>> {
    const port = domain.ports.get(number);
    if (port === undefined || port.consumer !== undefined) {
      return fail(Errno.EINVAL);
    }
    this.shut(domain, port);
    return nothing;
  }

  /** As close, the hypervisor's own ports included. */
  shut(domain: Domain, port: Port): void {
    if (port.state === 'interdomain') {
      const peer = this.#state.domains.get(port.remoteDomid)?.ports.get(port.remotePort);
      if (peer !== undefined && peer !== port) {
        peer.state = 'unbound';
        peer.remoteDomid = domain.domid;
        peer.remotePort = 0;
      }
    } else if (port.state === 'virq') {
      domain.virqs.delete(port.virq);
      if (port.virq === Virq.DOM_EXC) {
        this.#state.changed = undefined;
      }
    }
    domain.files.get(port.file ?? 0)?.ports.delete(port.number);
    domain.ports.delete(port.number);
    domain.portNumbers.giveBack(port.number);
  }

  send(domain: Domain, number: number): Outcome<Record<never, never>> {
    const port = domain.ports.get(number);
    if (port === undefined || port.state === 'virq' || port.consumer !== undefined) {
      return fail(Errno.EINVAL);
    }
    this.ring(port);
    return nothing;
  }

  /** Rings the other end; one that nobody has bound to swallows it. */
  ring(port: Port): void {
    if (port.state !== 'interdomain') {
      return;
    }
    const remote = this.#state.domains.get(port.remoteDomid);
    const peer = remote?.ports.get(port.remotePort);
    if (remote === undefined || peer === undefined) {
      return;
    }
    if (peer.consumer === undefined) {
      this.#raise(remote, peer);
    } else {
      peer.consumer(peer);
    }
  }

  /** A VIRQ to a domain that has bound it; lost on others. */
  raiseVirq(domain: Domain, virq: number): void {
    const port = domain.ports.get(domain.virqs.get(virq) ?? 0);
    if (port !== undefined) {
      this.#raise(domain, port);
    }
  }

  raiseGlobalVirq(virq: number): void {
    const handler = this.virqHandler(virq);
    if (handler !== undefined) {
      this.raiseVirq(handler, virq);
    }
  }

  /** The domain that may bind a global VIRQ. */
  virqHandler(virq: number): Domain | undefined {
    return this.#state.virqHandlers.get(virq) ?? this.#state.domains.get(0);
  }

  setVirqHandler(domain: Domain, virq: number): Outcome<Record<never, never>> {
    if (!isGlobalVirq(virq) || domain.life !== 'alive') {
      return fail(Errno.EINVAL);
    }
    const handler = this.virqHandler(virq);
    if (handler !== domain && handler?.virqs.has(virq)) {
      return fail(Errno.EBUSY);
    }
    this.#state.virqHandlers.set(virq, domain);
    return nothing;
  }

  /** Lets a port be delivered, now if it is pending. */
  unmask(domain: Domain, port: Port): void {
    port.masked = false;
    this.#deliver(domain, port);
  }

  /** What waited while the domain was paused. */
  flush(domain: Domain): void {
    for (const port of domain.ports.values()) {
      this.#deliver(domain, port);
    }
  }

  /** All ports of a domain; at its death, the hypervisor's own among them. */
  reset(domain: Domain, which: 'all' | 'guest'): void {
    for (const port of [...domain.ports.values()]) {
      if (which === 'all' || port.consumer === undefined) {
        this.shut(domain, port);
      }
    }
    if (which === 'all') {
      for (const [virq, handler] of this.#state.virqHandlers) {
        if (handler === domain) {
          this.#state.virqHandlers.delete(virq);
        }
      }
    }
  }

  #newPort(domain: Domain): Port | undefined {
    const number = domain.portNumbers.take();
    if (number === undefined) {
      return undefined;
    }
    const port: Port = {
      number,
      state: 'unbound',
      remoteDomid: Domid.INVALID,
      remotePort: 0,
      virq: 0,
      vcpu: 0,
      pending: false,
      masked: true,
      file: undefined,
      consumer: undefined,
    };
    domain.ports.set(number, port);
    return port;
  }

  #raise(domain: Domain, port: Port): void {
    port.pending = true;
    this.#deliver(domain, port);
  }

  #deliver(domain: Domain, port: Port): void {
    if (!port.pending || port.masked || port.file === undefined || domain.pauseCount > 0) {
      return;
    }
    port.pending = false;
    port.masked = true;
    this.#state.effect({ kind: 'event', domid: domain.domid, handle: port.file, port: port.number });
  }
}
