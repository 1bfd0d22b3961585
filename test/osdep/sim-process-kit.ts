/** A simulated machine across processes for tests: a hypervisor, its control domain in this process, domains in others. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { receiveWithDescriptors } from '../../osdep/os/fdpass.ts';
import { close, connectBlocking, sendAll } from '../../osdep/os/sock.ts';
import { type RemoteSimPlatform, simPlatform } from '../../osdep/sim/client.ts';
import { decodeBody, encodeFrame, HEADER_BYTES, Kind } from '../../osdep/sim/protocol.ts';
import { type HypervisorProcess, hypervisorPaths, startHypervisor } from '../../osdep/sim/start.ts';

const built = new URL('../../dist/osdep/', import.meta.url).href;

const raw = `
  const socket = sock.connectBlocking(process.env.STUBDOM0_RUN + '/hypervisor/socket');
  const inbox = Buffer.alloc(1 << 20);
  const receive = (descriptors = []) => {
    const count = fdpass.receiveWithDescriptors(socket, inbox, 0, descriptors);
    return count <= 0 ? count : decodeBody(inbox.subarray(8, count));
  };
  const tell = (kind, value) => sock.sendAll(socket, encodeFrame(kind, value, 'plain'));
  const ask = (op, args, descriptors) => { tell(Kind.CALL, { op, args }); return receive(descriptors); };
  tell(Kind.ATTACH, { token: process.env.STUBDOM0_TOKEN });
  receive();
`;

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

  /**
   * A domain in a process of its own, which runs `body`: `platform` is its machine, `say` a line to the test. A `raw`
   * one has no platform but a `socket`, attached as that domain, `ask` for a request and `receive` for an answer.
   */
  async guest(body: string, token: string = this.createDomain().token, kind = 'libraries'): Promise<Guest> {
    const program = join(this.run, `guest-${this.#children.length}.mjs`);
    writeFileSync(
      program,
      `import { simPlatform } from '${built}sim/client.js';
       import { decodeBody, encodeFrame, Kind } from '${built}sim/protocol.js';
       import * as sock from '${built}os/sock.js';
       import * as ffi from '${built}os/ffi.js';
       import * as fdpass from '${built}os/fdpass.js';
       import { readFileSync, readdirSync, openSync } from 'node:fs';
       const say = (words) => process.stdout.write(JSON.stringify(words) + '\\n');
       const tryTo = (what) => { try { return what() ?? 'done'; } catch (error) { return error.code ?? String(error); } };
       const failing = (result) => result < 0 ? ffi.errno() : 'worked';
       ${kind === 'raw' ? raw : 'const platform = simPlatform();'}
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

/** A domain of this process that speaks the protocol itself; answers are waited for, the hypervisor gives them or hangs up. */
export class RawDomain {
  readonly domid: number;
  readonly #socket: number;
  readonly #inbox = Buffer.alloc(65536);

  constructor(rig: Rig) {
    const { domid, token } = rig.createDomain();
    this.domid = domid;
    this.#socket = connectBlocking(hypervisorPaths(rig.run).socket);
    this.tell(Kind.ATTACH, { token });
    this.receive();
  }

  send(bytes: Uint8Array): void {
    sendAll(this.#socket, bytes);
  }

  tell(kind: number, value: unknown): void {
    this.send(encodeFrame(kind, value, 'bytes'));
  }

  /** An answer, or `closed`. */
  receive(): unknown {
    const count = receiveWithDescriptors(this.#socket, this.#inbox, 0, []);
    return count <= 0 ? 'closed' : decodeBody(this.#inbox.subarray(HEADER_BYTES, count));
  }

  close(): void {
    close(this.#socket);
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
