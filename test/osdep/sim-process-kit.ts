/** A simulated machine across processes for tests: a hypervisor, its control domain in this process, domains in others. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { type RemoteSimPlatform, simPlatform } from '../../osdep/sim/client.ts';
import { type HypervisorProcess, hypervisorPaths, startHypervisor } from '../../osdep/sim/start.ts';

const built = new URL('../../dist/osdep/', import.meta.url).href;

export class Rig {
  readonly run: string;
  readonly hypervisor: HypervisorProcess;
  readonly control: RemoteSimPlatform;
  readonly #children: Guest[] = [];
  readonly #platforms: RemoteSimPlatform[] = [];

  private constructor(run: string, hypervisor: HypervisorProcess) {
    this.run = run;
    this.hypervisor = hypervisor;
    this.control = this.platform(hypervisor.token);
  }

  static async start(): Promise<Rig> {
    const run = mkdtempSync(join(tmpdir(), 'sim-'));
    return new Rig(run, await startHypervisor({ run }));
  }

  async stop(): Promise<void> {
    for (const platform of this.#platforms) platform.close();
    for (const child of this.#children) child.process.kill('SIGKILL');
    await this.hypervisor.stop();
    rmSync(this.run, { recursive: true, force: true });
  }

  get log(): string {
    return readFileSync(hypervisorPaths(this.run).log, 'utf8');
  }

  platform(token: string, onLost: () => void = () => {}): RemoteSimPlatform {
    const platform = simPlatform({ run: this.run, token, onLost });
    this.#platforms.push(platform);
    return platform;
  }

  /** A running domain without a process. */
  createDomain(restartable = false): { domid: number; token: string } {
    const ctrl = this.control.openCtrl();
    const domid = ctrl.createDomain({});
    ctrl.unpause(domid);
    ctrl.close();
    return { domid, token: this.control.issueToken({ domid, restartable }) };
  }

  /** A domain within this process. */
  domain(): RemoteSimPlatform {
    return this.platform(this.createDomain().token);
  }

  /** A domain in a process of its own, which runs `body`: `platform` is its machine, `say` a line to the test. */
  async guest(body: string, token: string = this.createDomain().token): Promise<Guest> {
    const program = join(this.run, `guest-${this.#children.length}.mjs`);
    writeFileSync(
      program,
      `import { simPlatform } from '${built}sim/client.js';
       import * as sock from '${built}os/sock.js';
       import * as ffi from '${built}os/ffi.js';
       import * as fdpass from '${built}os/fdpass.js';
       import { connectBlocking } from '${built}os/sock.js';
       import { readFileSync, readdirSync, readlinkSync, openSync } from 'node:fs';
       const platform = process.env.NO_PLATFORM ? undefined : simPlatform();
       const say = (words) => process.stdout.write(JSON.stringify(words) + '\\n');
       const tryTo = (what) => { try { return what() ?? 'done'; } catch (error) { return error.code ?? String(error); } };
       process.stdin.resume();
       ${body}`,
    );
    const child = spawn(process.execPath, [program], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, STUBDOM0_RUN: this.run, STUBDOM0_TOKEN: token },
    });
    const guest = new Guest(child);
    this.#children.push(guest);
    return guest;
  }
}

export class Guest {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  stderr = '';
  readonly #lines: Interface;
  readonly #said: unknown[] = [];
  readonly #waiting: ((words: unknown) => void)[] = [];

  constructor(child: ChildProcess) {
    this.process = child;
    this.#lines = createInterface({ input: child.stdout! });
    this.#lines.on('line', (line) => {
      const words: unknown = JSON.parse(line);
      const next = this.#waiting.shift();
      if (next === undefined) this.#said.push(words);
      else next(words);
    });
    child.stderr?.on('data', (text: Buffer) => {
      this.stderr += text.toString();
    });
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  /** What it says next; fails if it ends instead. */
  async hears(): Promise<unknown> {
    if (this.#said.length > 0) return this.#said.shift();
    const said = new Promise<unknown>((resolve) => this.#waiting.push(resolve));
    const gone = this.ended.then(({ code, signal }) => {
      throw new Error(`it ended (${code ?? signal}) instead of speaking: ${this.stderr}`);
    });
    gone.catch(() => {});
    return await Promise.race([said, gone]);
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}

/** Waits for an event on a handle and takes it, still masked. */
export function nextPort(evtchn: {
  pending(): number | undefined;
  onReadable(callback: () => void): () => void;
}): Promise<number> {
  const port = evtchn.pending();
  if (port !== undefined) return Promise.resolve(port);
  return new Promise((resolve) => {
    const stop = evtchn.onReadable(() => {
      const fired = evtchn.pending();
      if (fired === undefined) return;
      stop();
      resolve(fired);
    });
  });
}
