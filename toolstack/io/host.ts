/**
 * A host that runs: carries out the plan of toolstack/core/host.ts with processes, domains and a store, and keeps it going. Knows no
 * terminal and no command; what a hypervisor is and how a process becomes a domain, its `Hypervisor` tells.
 */
import { join } from 'node:path';
import type { Platform } from '../../osdep/platform.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { type GuestFile, type HostAction, type HostFile, hostPlan } from '../core/host.ts';
import { Plan } from '../core/plan.ts';
import { defaultPolicy } from '../core/supervise.ts';
import { carryOut } from './carry.ts';
import { CLEAN_EXIT, type Command } from './child.ts';
import { ControlServer } from './control.ts';
import { Crew } from './crew.ts';
import { type Domain, Domains } from './domains.ts';
import { reasonOf } from './fault.ts';
import { type Log, openLog } from './log.ts';
import { guest as guestProgram, xenstoreAdmin, xenstored } from './programs.ts';
import { type RunDirectory, self } from './rundir.ts';
import type { HostState } from './state.ts';

export interface Hypervisor<P extends Platform = Platform> {
  /** How it is started. */
  command(run: string): Command;
  /** As the control domain of one that serves. */
  open(run: string): P;
  /** What makes a process that domain, and what becomes of the domain when the process ends. */
  environment(platform: P, run: string, domid: number, life: DomainLife): Record<string, string>;
}

export type DomainLife = 'outlives its process' | 'ends with its process';

export interface HostEvents {
  /** For people, a line. */
  print(text: string): void;
  /** It cannot go on; take it down. */
  broken(reason: string): void;
  /** Somebody asked over the control socket. */
  down(): void;
}

/** How a guest's end is told that was its own doing. */
const SHUT_DOWN = 'it shut down';

export class Host<P extends Platform> {
  readonly #file: HostFile;
  readonly #run: RunDirectory;
  readonly #hypervisor: Hypervisor<P>;
  readonly #events: HostEvents;
  readonly #log: Log;
  readonly #crew: Crew;
  readonly #plan: Plan<HostAction>;
  readonly #guests = new Map<string, Domain>();
  readonly #since = new Date().toISOString();
  readonly #ending = new AbortController();
  #phase: HostState['phase'] = 'starting';
  #control: ControlServer | undefined;
  #platform: P | undefined;
  #domains: Domains | undefined;
  #closeCtrl: () => void = () => {};
  #storeDomid: number | undefined;
  #store: Client | undefined;
  #adminPort: number;
  #url: string | undefined;

  constructor(file: HostFile, run: RunDirectory, hypervisor: Hypervisor<P>, events: HostEvents) {
    this.#file = file;
    this.#run = run;
    this.#hypervisor = hypervisor;
    this.#events = events;
    this.#log = openLog(run.logs);
    this.#crew = new Crew(run.logs, this.#log, {
      changed: () => this.#changed(),
      note: (text) => {
        if (this.#phase === 'up' && this.#crew.isAlive('hypervisor')) events.print(text);
      },
      over: (name, phase, text) => this.#over(name, phase, text),
    });
    this.#plan = new Plan(hostPlan(file));
    this.#adminPort = file.admin?.port ?? 0;
  }

  get socket(): string {
    return join(this.#run.path, 'xenstored/socket');
  }

  /** False: `down` came in between, and all is undone. Throws Fault, with all undone, if a step fails. */
  async up(): Promise<boolean> {
    this.#control = await ControlServer.listen(this.#run.path, {
      state: () => this.state(),
      down: () => this.#events.down(),
    });
    try {
      const up = await this.#carryOut();
      if (up) this.#enter('up');
      else this.#leave();
      return up;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Breaks a start off: `up` answers false once all is undone. */
  interrupt(): void {
    this.#enter('stopping');
    this.#ending.abort();
    this.#crew.stopStarting();
  }

  /** Takes back every step, in reverse. For a host that is up. */
  async down(): Promise<void> {
    this.#enter('stopping');
    this.#ending.abort();
    this.#plan.turnBack();
    await this.#carryOut();
    this.#leave();
  }

  state(): HostState {
    return {
      version: 1,
      host: this.#file.name,
      phase: this.#phase,
      owner: self(),
      since: this.#since,
      socket: this.socket,
      url: this.#url,
      processes: this.#crew.states(),
      domains: [
        { domid: 0, name: 'Domain-0', memoryMb: 0 },
        ...(this.#storeDomid === undefined
          ? []
          : [{ domid: this.#storeDomid, name: 'xenstored', memoryMb: this.#file.xenstored.memoryMb }]),
        ...[...this.#guests.values()].map(({ domid, name, memoryMb }) => ({ domid, name, memoryMb })),
      ],
    };
  }

  #carryOut(): Promise<boolean> {
    return carryOut(this.#plan, {
      perform: (action) => this.#perform(action),
      interrupted: () => this.#ending.signal.aborted,
      note: (text) => this.#log.info(text),
    });
  }

  #perform(action: HostAction): Promise<void> | void {
    switch (action.kind) {
      case 'start':
        return this.#start[action.process]();
      case 'stop':
        return this.#crew.stop(action.process);
      case 'openControl':
        return this.#openControl();
      case 'closeControl':
        return this.#closeControl();
      case 'createStoreDomain':
        this.#storeDomid = this.#domains!.createStoreDomain(this.#file.xenstored.memoryMb);
        return;
      case 'destroyStoreDomain':
        return this.#domains!.destroy(this.#storeDomid!);
      case 'connectStore':
        return this.#connectStore();
      case 'disconnectStore':
        return this.#store!.close();
      case 'createGuest':
        return this.#createGuest(action.guest);
      case 'destroyGuest':
        return this.#destroyGuest(action.guest.name);
      case 'startGuest':
        return this.#startGuest(action.guest);
      case 'stopGuest':
        return this.#crew.stop(guestProcess(action.guest.name));
      case 'acquaint':
        return this.#acquaint();
    }
  }

  readonly #start = {
    hypervisor: (): Promise<void> =>
      this.#crew.start({
        name: 'hypervisor',
        policy: { ...defaultPolicy, onExit: 'fatal' },
        command: () => this.#hypervisor.command(this.#run.path),
      }),
    xenstored: (): Promise<void> =>
      this.#crew.start({
        name: 'xenstored',
        policy: defaultPolicy,
        // Started again, it finds its guests' rings where they were.
        command: () =>
          xenstored(
            this.#run.path,
            this.#file.xenstored,
            this.#environment(this.#storeDomid!, 'outlives its process'),
          ),
      }),
    admin: (): Promise<void> =>
      this.#crew.start({
        name: 'admin',
        policy: defaultPolicy,
        command: () => xenstoreAdmin(this.#run.path, this.#adminPort),
        ready: (match) => {
          this.#url = match[1];
          // Its users keep their address when it is started again.
          this.#adminPort = Number(new URL(match[1]!).port);
        },
      }),
  };

  #openControl(): void {
    this.#platform = this.#hypervisor.open(this.#run.path);
    const ctrl = this.#platform.openCtrl();
    this.#closeCtrl = () => ctrl.close();
    this.#domains = new Domains(ctrl);
  }

  #closeControl(): void {
    this.#closeCtrl();
    this.#platform!.close();
  }

  #environment(domid: number, life: DomainLife): Record<string, string> {
    return this.#hypervisor.environment(this.#platform!, this.#run.path, domid, life);
  }

  async #connectStore(): Promise<void> {
    const store = await connect({ path: this.socket, signal: this.#ending.signal });
    this.#store = store;
    try {
      await this.#domains!.announce(store, this.#storeDomid!);
    } catch (error) {
      await store.close();
      throw error;
    }
    void this.#watchReleases(store);
  }

  /** A guest that shut itself down is taken away; of one whose process ended we hear anyway. */
  async #watchReleases(store: Client): Promise<void> {
    try {
      for await (const _ of store.watch('@releaseDomain')) {
        for (const { name, domid } of this.#guests.values()) {
          const process = guestProcess(name);
          if (this.#phase !== 'up' || !this.#crew.isAlive(process) || !this.#domains!.isOver(domid)) continue;
          await this.#crew.stop(process);
          await this.#guestGone(name, SHUT_DOWN);
        }
      }
    } catch (error) {
      this.#log.warn(`no longer watching for domains that end: ${reasonOf(error)}`);
    }
  }

  async #createGuest(guest: GuestFile): Promise<void> {
    this.#guests.set(guest.name, await this.#domains!.create(this.#store!, this.#storeDomid!, guest));
    this.#changed();
  }

  async #destroyGuest(name: string): Promise<void> {
    const domain = this.#guests.get(name);
    if (domain === undefined) return;
    this.#guests.delete(name);
    this.#domains!.destroy(domain.domid);
    // A store that is about to go with the host need not forget first.
    if (this.#phase !== 'stopping') await this.#domains!.forget(this.#store!, domain.domid, domain.uuid);
    this.#changed();
  }

  async #startGuest(guest: GuestFile): Promise<void> {
    const { domid } = this.#guests.get(guest.name)!;
    this.#domains!.unpause(domid);
    await this.#crew.start({
      name: guestProcess(guest.name),
      policy: { ...defaultPolicy, onExit: 'gone' },
      command: () => guestProgram(this.#environment(domid, 'ends with its process')),
    });
  }

  /** Each guest finds the ids of those it greets below its `vm-data/greets`. */
  async #acquaint(): Promise<void> {
    for (const { name, greets } of this.#file.guests) {
      const ids = greets.map((other) => this.#guests.get(other)!.domid).join(' ');
      await this.#store!.write(`/local/domain/${this.#guests.get(name)!.domid}/vm-data/greets`, ids);
    }
  }

  #over(name: string, phase: 'ended' | 'failed', text: string): void {
    this.#log.warn({ process: name, phase }, text);
    if (this.#phase === 'stopping') return;
    // Everything ends with the hypervisor, in any order; the one line to tell is its own.
    if (name !== 'hypervisor' && !this.#crew.isAlive('hypervisor')) return;
    if (name === 'hypervisor' || name === 'xenstored') {
      this.#phase = 'stopping';
      this.#events.broken(`the host cannot go on without its ${name}: ${text}`);
      return;
    }
    const guest = this.#file.guests.find((one) => guestProcess(one.name) === name);
    if (guest === undefined) {
      this.#events.print(`${name} does not come up (${text}); the host goes on without it`);
      return;
    }
    void this.#guestGone(guest.name, text === CLEAN_EXIT ? SHUT_DOWN : text);
  }

  async #guestGone(name: string, how: string): Promise<void> {
    const domain = this.#guests.get(name);
    if (domain === undefined) return;
    try {
      await this.#destroyGuest(name);
      this.#events.print(`guest ${name} (domain ${domain.domid}) is gone: ${how}`);
    } catch (error) {
      this.#events.print(`guest ${name} (domain ${domain.domid}): ${reasonOf(error)}`);
    }
  }

  #enter(phase: HostState['phase']): void {
    this.#phase = phase;
    this.#changed();
  }

  #changed(): void {
    try {
      this.#run.writeState(this.state());
    } catch {
      // A full disk costs whoever comes after a kill -9 of us the knowledge of what was left, and nobody his host.
    }
  }

  #leave(): void {
    this.#control?.close();
    this.#control = undefined;
  }
}

function guestProcess(name: string): string {
  return `guest-${name}`;
}
