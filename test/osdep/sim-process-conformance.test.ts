/** The machine across processes does what every platform must. Domains live in this process, each on its own connection. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll } from 'vitest';
import type { CreateDomain } from '../../osdep/ctrl.ts';
import { type RemoteSimPlatform, simPlatform } from '../../osdep/sim/client.ts';
import { osdepConformance, simulated, type TestGuest, type TestMachine } from '../conformance/osdep.ts';

const PATIENCE_MS = 10_000;

/** One process that runs a hypervisor for each path it is told, one after the other: a new process each time takes longer. */
const SERVER = `
  import { createInterface } from 'node:readline';
  import { Hypervisor } from '${new URL('../../dist/osdep/sim/hypervisor.js', import.meta.url).href}';
  let hypervisor;
  createInterface({ input: process.stdin }).on('line', (socket) => {
    hypervisor?.close();
    hypervisor = new Hypervisor({ socket });
    console.log(hypervisor.controlToken);
  }).on('close', () => process.exit());
`;

let run: string;
let server: ChildProcess;
let answers: AsyncIterator<string>;
let machines = 0;

beforeAll(() => {
  run = mkdtempSync(join(tmpdir(), 'sim-'));
  server = spawn(process.execPath, ['--input-type=module', '-e', SERVER], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  answers = createInterface({ input: server.stdout! })[Symbol.asyncIterator]();
});
afterAll(() => {
  server.kill('SIGKILL');
  rmSync(run, { recursive: true });
});

async function machine(): Promise<TestMachine> {
  const socket = join(run, `socket-${machines++}`);
  server.stdin?.write(`${socket}\n`);
  const controlToken = (await answers.next()).value as string;
  const platformFor = (token: string): RemoteSimPlatform => simPlatform({ socket, token, onLost: () => {} });
  const control = platformFor(controlToken);
  const platforms = new Map<number, RemoteSimPlatform>([[0, control]]);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const newDomain = async (options: CreateDomain = {}): Promise<TestGuest> => {
    const ctrl = control.openCtrl();
    const domid = ctrl.createDomain(options);
    ctrl.unpause(domid);
    ctrl.close();
    const platform = platformFor(control.issueToken({ domid, restartable: false }));
    platforms.set(domid, platform);
    return { domid, platform };
  };
  return {
    control: { domid: 0, platform: control },
    newDomain,
    kill: async (domid) => {
      platforms.get(domid)?.close();
      platforms.delete(domid);
      const ctrl = control.openCtrl();
      for (let info = ctrl.getDomainInfo(domid); info !== undefined && !info.dying; ) {
        await turn();
        info = ctrl.getDomainInfo(domid);
      }
      ctrl.close();
    },
    until: async (condition) => {
      for (const start = performance.now(); !condition(); await turn()) {
        if (performance.now() - start > PATIENCE_MS) throw new Error('it never came');
      }
    },
    settle: async () => {
      // Whoever gets an answer has all events of what was asked before on its connection; ask on each of them.
      for (const [domid, platform] of platforms) {
        try {
          const gnttab = platform.openCall();
          gnttab.hypercall(17, [0, 0]);
          gnttab.close();
        } catch {
          platforms.delete(domid);
        }
      }
      await turn();
      await turn();
    },
    stop: async () => {
      for (const platform of platforms.values()) platform.close();
    },
  };
}

osdepConformance('across processes', machine, { ...simulated, scatteredViews: true, descriptors: true });
