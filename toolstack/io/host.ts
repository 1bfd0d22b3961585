/**
 * A host that runs: carries out the plan of toolstack/core/host.ts with processes, domains and a store, and keeps it going. Knows no
 * terminal and no command; what a hypervisor is and how a process becomes a domain, its `Hypervisor` tells.
 */
import { join } from 'node:path';
import type { Platform } from '../../osdep/platform.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { type HostAction, type HostFile, hostPlan, type ServiceName } from '../core/host.ts';
import { Plan } from '../core/plan.ts';
import { policyText } from '../core/policy.ts';
import { defaultPolicy } from '../core/supervise.ts';
import { carryOut } from './carry.ts';
import type { Command } from './child.ts';
import { ControlServer } from './control.ts';
import { Crew } from './crew.ts';
import { Domains } from './domains.ts';
import { Faces } from './faces.ts';
import { Fault, reasonOf } from './fault.ts';
import { endGuests, guestProcesses, guestStates, HostGuests } from './hostguests.ts';
import { type Log, openLog } from './log.ts';
import { xenstored } from './programs.ts';
import { RemoteToolstack } from './remote.ts';
import { type RunDirectory, self } from './rundir.ts';
import { Services, type Surroundings } from './services.ts';
import { writeServices } from './servicesfile.ts';
import type { DomainState, HostState } from './state.ts';
import type { Toolstack } from './toolstack.ts';

export interface Hypervisor<P extends Platform = Platform> {
  /** How it is started. */
  command(run: string, machine: HostFile['machine']): Command;
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
  /** Creates guests from these cfg files and directories of them; what is wrong with one is told. */
  autostart(paths: readonly string[], toolstack: Toolstack, signal: AbortSignal): Promise<void>;
}

/** Stands for one that is not known yet. */
const NOBODYS_PORT = 1;

export class Host<P extends Platform> {
  readonly #file: HostFile;
  readonly #run: RunDirectory;
  readonly #hypervisor: Hypervisor<P>;
  readonly #events: HostEvents;
  readonly #log: Log;
  readonly #crew: Crew;
  readonly #plan: Plan<HostAction>;
  readonly #toolstack: RemoteToolstack;
  readonly #guests: HostGuests;
  readonly #services: Services;
  readonly #faces: Faces;
  readonly #since = new Date().toISOString();
  readonly #ending = new AbortController();
  #phase: HostState['phase'] = 'starting';
  #control: ControlServer | undefined;
  #platform: P | undefined;
  #domains: Domains | undefined;
  #closeCtrl: () => void = () => {};
  #storeDomid: number | undefined;
  #store: Client | undefined;
  /** Services that no guest needs to be made. */
  readonly #coming: [string, Promise<void>][] = [];

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
    this.#toolstack = new RemoteToolstack(run.path);
    this.#guests = new HostGuests(run.path, this.#toolstack);
    this.#faces = new Faces({
      file,
      run: run.path,
      crew: this.#crew,
      print: (text) => {
        if (this.#phase !== 'stopping') events.print(text);
      },
    });
    this.#services = new Services({
      file,
      run: run.path,
      crew: this.#crew,
      policy: () =>
        policyText(file.xensock?.policy ?? {}, { adminPort: this.#faces.adminPort || NOBODYS_PORT }),
      environment: (domid) => this.#environment(domid, 'outlives its process'),
      print: (text) => events.print(text),
      leaving: () => this.#phase === 'stopping',
      ending: this.#ending.signal,
    });
    this.#plan = new Plan(hostPlan(file));
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
    const guests = guestStates(this.#run.path);
    return {
      version: 1,
      host: this.#file.name,
      phase: this.#phase,
      owner: self(),
      since: this.#since,
      socket: this.socket,
      url: this.#faces.url,
      ssh: this.#faces.ssh,
      uplink: this.#services.uplink,
      webs: this.#services.webs.filter(({ guest }) => guests.some(({ name }) => name === guest)),
      processes: [...this.#crew.states(), ...guestProcesses(this.#run.path)],
      domains: [...this.#ownDomains(), ...guests],
    };
  }

  /** All but the guests. */
  #ownDomains(): DomainState[] {
    const control = { domid: 0, name: 'Domain-0', memoryMb: 0, role: 'control', devices: [] } as const;
    return [control, ...this.#serviceDomains()];
  }

  #serviceDomains(): DomainState[] {
    const { memoryMb } = this.#file.xenstored;
    const store =
      this.#storeDomid === undefined ? [] : [{ domid: this.#storeDomid, name: 'xenstored', memoryMb }];
    return [...store, ...this.#services.all()].map(({ domid, name, memoryMb }) => {
      return { domid, name, memoryMb, role: 'service', devices: [] };
    });
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
      case 'createService':
        return this.#services.create(action.service, this.#there());
      case 'destroyService':
        return this.#services.destroy(action.service, this.#there());
      case 'startAll':
        return this.#startAll();
      case 'stopAll':
        return this.#stopAll();
      case 'awaitAll':
        return this.#awaitAll();
      case 'createGuest':
        return this.#guests.create(action.guest, action.place, this.#ending.signal);
      case 'acquaint':
        return this.#guests.acquaint(this.#file.guests, this.#store!);
      case 'letRun':
        return this.#guests.letRun(this.#ending.signal);
      case 'autostart':
        return this.#events.autostart(this.#file.autostart, this.#toolstack, this.#ending.signal);
    }
  }

  readonly #start = {
    hypervisor: (): Promise<void> =>
      this.#crew.start({
        name: 'hypervisor',
        policy: { ...defaultPolicy, onExit: 'fatal' },
        command: () => this.#hypervisor.command(this.#run.path, this.#file.machine),
      }),
    xenstored: (): Promise<void> =>
      this.#crew.start({
        name: 'xenstored',
        // Started again, it finds its guests' rings where they were; unless it kept nothing, and nobody's nodes are there any more.
        policy: {
          ...defaultPolicy,
          onExit: this.#file.xenstored.database === 'memory' ? 'fatal' : 'restart',
        },
        command: () =>
          xenstored(
            this.#run.path,
            this.#file.xenstored,
            this.#environment(this.#storeDomid!, 'outlives its process'),
          ),
      }),
  };

  /** All at the same time, until those serve that guests need; if one of them does not come up, none stays. */
  async #startAll(): Promise<void> {
    writeServices(this.#run.path, this.#serviceDomains());
    const first: [string, Promise<void>][] = [
      ['toolstack', this.#faces.startToolstack()],
      ...this.#services
        .names()
        .map((name): [string, Promise<void>] => [name, this.#services.start(name, this.#there())]),
    ];
    this.#coming.push(...this.#faces.startOthers());
    // Whether they come up is asked later.
    for (const [, start] of this.#coming) start.catch(() => {});
    try {
      await allOf(first);
    } catch (error) {
      await this.#stopAll();
      throw error;
    }
  }

  async #awaitAll(): Promise<void> {
    await allOf(this.#coming);
    this.#services.writePolicy();
  }

  /** Those first that would make what ends anew. */
  async #stopAll(): Promise<void> {
    await Promise.all(['ssh', 'toolstack'].map((name) => this.#crew.stop(name)));
    await endGuests(this.#run.path);
    const others: (ServiceName | 'admin')[] = ['admin', ...this.#services.names()];
    await Promise.all(others.map((name) => this.#crew.stop(name)));
  }

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
  }

  /** What there is from the step that connects to the store on. */
  #there(): Surroundings {
    return { domains: this.#domains!, store: this.#store!, storeDomid: this.#storeDomid! };
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
    this.#events.print(`${name} does not come up (${text}); the host goes on without it`);
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

/** Throws Fault with the first that did not come up, once it is known of all. */
async function allOf(starting: readonly (readonly [string, Promise<void>])[]): Promise<void> {
  const ends = await Promise.allSettled(starting.map(([, start]) => start));
  for (const [index, end] of ends.entries())
    if (end.status === 'rejected') throw new Fault(`${starting[index]![0]}: ${reasonOf(end.reason)}`);
}
