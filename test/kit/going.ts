/**
 * How a host goes on: only while somebody waits for something, which comes, or the reason why not is told with the seed and the end of the timeline. Knows
 * neither programs nor a toolstack.
 */
import type { LocalHost } from '../../osdep/sim/local.ts';
import type { SteppedScheduler } from '../../osdep/sim/schedule.ts';
import type { Device } from './devices.ts';
import { Hypervisor } from './hypervisor.ts';
import type { Nodes } from './nodes.ts';
import { Pump } from './pump.ts';
import type { Timeline } from './timeline.ts';
import { HostView } from './view.ts';

/** Nothing has happened for so long: nothing more will. Longer than any rest of ours before something is tried again. */
const QUIET_MS = 2_000;
/** What a test waits for takes no longer. */
const PATIENCE_MS = 60_000;
/** Lines that an error is told with. */
const TAIL = 60;

export interface GoingParts {
  readonly seed: number;
  readonly machine: LocalHost<SteppedScheduler>;
  readonly timeline: Timeline;
  readonly nodes: Nodes;
}

export abstract class GoingHost extends HostView {
  readonly seed: number;
  protected readonly machine: LocalHost<SteppedScheduler>;
  protected readonly history: Timeline;
  protected readonly pump: Pump;
  readonly #explained = new WeakSet<Error>();

  constructor({ seed, machine, timeline, nodes }: GoingParts) {
    super(nodes, new Hypervisor(machine.platformFor(0)));
    this.seed = seed;
    this.machine = machine;
    this.history = timeline;
    this.pump = new Pump(machine.scheduler);
  }

  /** Virtual milliseconds since its start. */
  get nowMs(): number {
    return this.machine.clock.now();
  }

  /** Goes on until nothing happens any more. */
  async settle(): Promise<void> {
    const { clock } = this.machine;
    const begunMs = clock.now();
    const quietMs = (): number => Math.max(begunMs, this.history.lastMs) + QUIET_MS;
    await this.#drive('it settles', () => clock.now() >= quietMs(), quietMs);
  }

  /** Lets so much virtual time pass. */
  async run(durationMs: number): Promise<void> {
    const { clock } = this.machine;
    const endMs = clock.now() + durationMs;
    const nextMs = (): number => endMs;
    await this.#drive(`${durationMs} ms pass`, () => clock.now() >= endMs, nextMs, durationMs + 1);
  }

  /** Does so many of the things that can be done now, or all: for a test that wants to be in the middle of something. No time passes. */
  async tasks(count: number): Promise<void> {
    const nowMs = (): number => this.nowMs;
    let left = count;
    await this.#drive(`${count} tasks are done`, () => left-- <= 0, nowMs);
  }

  /** Goes on until a condition holds, which is looked at before each step; rejects after a minute of virtual time. */
  async until(condition: () => boolean, what: string = String(condition)): Promise<void> {
    await this.#drive(what, condition, () => Number.POSITIVE_INFINITY);
  }

  /** Goes on until both ends are Connected. */
  async connected(device: Device): Promise<void> {
    let seen = -1;
    const both = (): boolean => {
      if (this.history.happenings === seen) return false;
      seen = this.history.happenings;
      const { back, front } = device.states;
      return back === 4 && front === 4;
    };
    await this.#drive(
      `${device.back} is connected`,
      both,
      () => Number.POSITIVE_INFINITY,
      PATIENCE_MS,
      () => device.toString(),
    );
  }

  /** Goes on until a promise is settled: for what a driver or a service of the test's answers with. */
  async done<T>(promise: Promise<T>, what: string = 'a promise is settled'): Promise<T> {
    let settled = false;
    const after = promise.finally(() => {
      settled = true;
    });
    after.catch(() => {});
    await this.#drive(
      what,
      () => settled,
      () => Number.POSITIVE_INFINITY,
    );
    return await after;
  }

  /** Who did what, a line each: the last so many, or all. */
  timeline(last?: number): string {
    return this.history.text(last);
  }

  /** A line of the test's own. */
  note(line: string): void {
    this.history.add('test', line);
  }

  /** Adds to an error what it takes to understand it and to see it again. Once. */
  explain(error: unknown): Error {
    const told = error instanceof Error ? error : new Error(String(error));
    if (this.#explained.has(told)) return told;
    this.#explained.add(told);
    const before = told.message;
    const message = `${before}\n\nseed ${this.seed}: simHost({ seed: ${this.seed} }) tells it again\n\n${this.timeline(TAIL)}\n`;
    const { stack = '' } = told;
    told.message = message;
    told.stack = stack.includes(before) ? stack.replace(before, () => message) : `${message}\n${stack}`;
    return told;
  }

  async #drive(
    what: string,
    over: () => boolean,
    nextMs: () => number,
    patienceMs: number = PATIENCE_MS,
    because: () => string = () => '',
  ): Promise<void> {
    const untilMs = this.nowMs + patienceMs;
    try {
      await this.pump.drive({ what, over, nextMs, untilMs });
    } catch (error) {
      const reason = because();
      if (error instanceof Error && reason !== '') error.message += `\n${reason}`;
      throw this.explain(error);
    }
  }
}
