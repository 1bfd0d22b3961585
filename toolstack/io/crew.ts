/**
 * The processes of a host under supervision: carries out what toolstack/core/supervise.ts decides. Knows no domain and no order among them.
 */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type Effect, type Event, type Policy, Supervisor } from '../core/supervise.ts';
import { Child, type Command } from './child.ts';
import { Fault, reasonOf } from './fault.ts';
import { isAlive } from './identity.ts';
import type { Log } from './log.ts';
import type { ProcessState } from './state.ts';

export interface Job {
  readonly name: string;
  readonly policy: Policy;
  /** Asked before each start: a restart may want other arguments. */
  command(): Command;
  /** Done before each start but the first. If it fails, so does the start. */
  again?(): Promise<void>;
  ready?(match: RegExpExecArray): void;
  /** Each line that it writes. */
  line?(text: string): void;
}

export interface CrewEvents {
  /** Somebody's state changed. */
  changed(): void;
  /** For people: one ended and will be started again, or serves again. */
  note(text: string): void;
  /** A process that nobody stopped is over for good. */
  over(name: string, phase: 'ended' | 'failed', text: string): void;
}

interface Member {
  readonly job: Job;
  readonly supervisor: Supervisor;
  child: Child | undefined;
  timer: NodeJS.Timeout | undefined;
  tail: readonly string[];
  readonly waiting: { readonly for: 'ready' | 'over'; readonly done: (error?: Error) => void }[];
}

export class Crew {
  readonly #members = new Map<string, Member>();
  readonly #logs: string;
  readonly #log: Log;
  readonly #events: CrewEvents;

  constructor(logs: string, log: Log, events: CrewEvents) {
    this.#logs = logs;
    this.#log = log;
    this.#events = events;
  }

  /** Until it serves for the first time. Throws Fault with its last words if it never does. */
  start(job: Job): Promise<void> {
    const supervisor = new Supervisor(job.name, job.policy);
    const member: Member = { job, supervisor, child: undefined, timer: undefined, tail: [], waiting: [] };
    this.#members.set(job.name, member);
    const ready = new Promise<void>((resolve, reject) => {
      member.waiting.push({ for: 'ready', done: (error) => (error ? reject(error) : resolve()) });
    });
    this.#step(member, { kind: 'start' });
    return ready;
  }

  /** Until it is over. One that was never started, or is over, is over. */
  stop(name: string): Promise<void> {
    const member = this.#members.get(name);
    if (member === undefined || isOver(member)) return Promise.resolve();
    const over = new Promise<void>((resolve) => {
      member.waiting.push({ for: 'over', done: () => resolve() });
    });
    this.#step(member, { kind: 'stop' });
    return over;
  }

  /** Breaks off whatever has not said yet that it serves. */
  stopStarting(): void {
    for (const member of this.#members.values()) {
      if (member.supervisor.phase === 'starting') this.#step(member, { kind: 'stop' });
    }
  }

  /** Asked of the system: its end may not have been told yet. */
  isAlive(name: string): boolean {
    const id = this.#members.get(name)?.child?.id;
    return id !== undefined && isAlive(id);
  }

  /** In the order in which they were started. */
  states(): ProcessState[] {
    return [...this.#members.values()].map(({ job, supervisor, child }) => ({
      name: job.name,
      phase: supervisor.phase,
      id: child?.id,
      restarts: supervisor.restarts,
    }));
  }

  #step(member: Member, event: Event): void {
    for (const effect of member.supervisor.step(event, performance.now())) this.#perform(member, effect);
    this.#arm(member);
    this.#events.changed();
  }

  #perform(member: Member, effect: Effect): void {
    switch (effect.kind) {
      case 'spawn':
        this.#spawn(member).catch((error: unknown) =>
          this.#step(member, { kind: 'exited', how: reasonOf(error) }),
        );
        break;
      case 'kill':
        member.child?.kill(effect.signal);
        break;
      case 'note':
        this.#log.warn({ process: member.job.name, tail: member.tail }, effect.text);
        this.#events.note(effect.text);
        break;
      case 'over':
        this.#over(member, effect.phase, effect.text);
        break;
    }
  }

  async #spawn(member: Member): Promise<void> {
    const { job, supervisor } = member;
    const { name } = job;
    if (job.again !== undefined && supervisor.restarts > 0) {
      await job.again();
      if (supervisor.phase !== 'starting') throw new Error('stopped before it was started');
    }
    const command = job.command();
    this.#log.info({ process: name, args: command.args }, 'starting');
    const child: Child = new Child(command, join(this.#logs, `${name}.log`), {
      line: (text) => job.line?.(text),
      ready: (match) => {
        member.job.ready?.(match);
        this.#step(member, { kind: 'ready' });
        if (member.supervisor.restarts > 0) this.#events.note(`${name} serves again`);
        settle(member, 'ready');
      },
      exited: (how) => {
        member.child = undefined;
        member.tail = child.tail;
        this.#log.info({ process: name }, how);
        this.#step(member, { kind: 'exited', how });
      },
    });
    member.child = child;
    this.#events.changed();
  }

  #over(member: Member, phase: 'stopped' | 'ended' | 'failed', text: string): void {
    const words = member.tail
      .slice(-5)
      .map((line) => `\n    ${line}`)
      .join('');
    const early = member.waiting.some((waiter) => waiter.for === 'ready');
    settle(member, 'ready', new Fault(`${text}${words}`));
    settle(member, 'over');
    if (phase !== 'stopped' && !early) this.#events.over(member.job.name, phase, text);
  }

  #arm(member: Member): void {
    clearTimeout(member.timer);
    const { due } = member.supervisor;
    if (due === undefined) return;
    member.timer = setTimeout(
      () => this.#step(member, { kind: 'tick' }),
      Math.max(0, Math.ceil(due - performance.now())),
    );
  }
}

function isOver(member: Member): boolean {
  return ['stopped', 'ended', 'failed'].includes(member.supervisor.phase);
}

function settle(member: Member, what: 'ready' | 'over', error?: Error): void {
  for (const waiter of member.waiting.filter((one) => one.for === what)) {
    member.waiting.splice(member.waiting.indexOf(waiter), 1);
    waiter.done(error);
  }
}
