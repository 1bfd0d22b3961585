/**
 * A domain manager of ours on any daemon: the hypervisor is a simulated one, the guests' processes are none, and who serves devices is a connection that takes
 * each on as soon as it is ordered. All that is left of a creation is what it asks of its store, the same requests on every daemon.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Ctrl } from '../../osdep/ctrl.ts';
import { liveHost } from '../../osdep/sim/local.ts';
import { parseCfg } from '../../toolstack/core/cfg.ts';
import type { DomainConfig } from '../../toolstack/core/config.ts';
import type { Bulk } from '../../toolstack/io/bulk.ts';
import { Domains } from '../../toolstack/io/domains.ts';
import { Hotplug } from '../../toolstack/io/hotplug.ts';
import { identify } from '../../toolstack/io/identity.ts';
import { Manager } from '../../toolstack/io/manager.ts';
import { Records } from '../../toolstack/io/records.ts';
import { Table } from '../../toolstack/io/table.ts';
import { at } from '../../xenstored/client/address.ts';
import { type Client, connect } from '../../xenstored/client/index.ts';
import type { Connector } from '../../xenstored/client/transport.ts';
import { Rig } from '../osdep/sim-process-kit.ts';
import { type Contestant, type Served, startOursOn } from './contestants.ts';

/** A daemon, and the machine whose domains it knows. */
interface Ground {
  readonly served: Served;
  readonly ctrl: Ctrl;
  readonly storeDomid: number;
  stop(): Promise<void>;
}

export class ManagedStore {
  readonly #ground: Ground;
  readonly #directory: string;
  readonly #clients: readonly Client[];
  readonly #manager: Manager;
  readonly #count: { requests: number };

  private constructor(
    ground: Ground,
    directory: string,
    clients: readonly Client[],
    manager: Manager,
    count: { requests: number },
  ) {
    this.#ground = ground;
    this.#directory = directory;
    this.#clients = clients;
    this.#manager = manager;
    this.#count = count;
  }

  static async start(one: Contestant): Promise<ManagedStore> {
    const ground = one.name === 'ours' ? await ours() : await theirs(one);
    const { ctrl, served, storeDomid } = ground;
    const directory = mkdtempSync(join(tmpdir(), 'bench-toolstack-'));
    mkdirSync(join(directory, 'logs'));
    const count = { requests: 0 };
    const store = await connect({ connector: counting(at(served.socketPath), count) });
    const backends = await connect({ path: served.socketPath });
    const services = ['blkback', 'netback', 'console'].map((name) => ({
      name,
      domid: ctrl.createDomain({}),
    }));
    const domidOf = (name: string): number => services.find((one) => one.name === name)!.domid;
    for (const { name, domid } of services) await store.write(`/local/domain/${domid}/name`, name);
    for (const [name, kind] of [
      ['blkback', 'vbd'],
      ['netback', 'vif'],
    ] as const)
      void takeOn(backends, `/local/domain/${domidOf(name)}/backend/${kind}`);
    const parts = {
      run: directory,
      ctrl,
      domains: new Domains(ctrl),
      store,
      storeDomid,
      consoleDomid: domidOf('console'),
      services,
      hotplug: new Hotplug({
        store,
        backendOf: (kind) => domidOf(kind === 'vbd' ? 'blkback' : 'netback'),
        domidOf: async () => undefined,
      }),
      makeRoom: async () => {},
      forgetRoom: () => {},
      bulk: noProcess,
      records: new Records(directory),
      environment: () => ({}),
      log: pino({ enabled: false }),
      print: () => {},
    };
    return new ManagedStore(ground, directory, [store, backends], new Manager(parts, new Table()), count);
  }

  /** Of the daemon. */
  get pid(): number {
    return this.#ground.served.pid;
  }

  /** A guest with a disk and an interface. Answers how many requests its creation took, and milliseconds. */
  async create(name: string): Promise<{ readonly requests: number; readonly ms: number }> {
    const order = { config: guest(name), start: 'running' } as const;
    const [requests, begun] = [this.#count.requests, performance.now()];
    await this.#manager.create(order, () => {}, new AbortController().signal);
    return { requests: this.#count.requests - requests, ms: performance.now() - begun };
  }

  async destroy(name: string): Promise<void> {
    await this.#manager.destroy(name);
  }

  async close(): Promise<void> {
    await this.#manager.close();
    for (const client of this.#clients) await client.close();
    rmSync(this.#directory, { recursive: true, force: true });
    await this.#ground.stop();
  }
}

/** In a domain of a simulated machine across processes, as on a host of ours. */
async function ours(): Promise<Ground> {
  const rig = await Rig.start();
  const ctrl = rig.control.openCtrl();
  const storeDomid = new Domains(ctrl).createStoreDomain(32);
  const served = await startOursOn(rig.run, rig.control.issueToken({ domid: storeDomid, restartable: true }));
  return {
    served,
    ctrl,
    storeDomid,
    stop: async () => {
      await served.stop();
      await rig.stop();
    },
  };
}

/** On the machine that the preload library shows to it. */
async function theirs(one: Contestant): Promise<Ground> {
  const served = await one.start();
  const ctrl = shown(liveHost().platformFor(0).openCtrl(), served);
  return { served, ctrl, storeDomid: ctrl.createDomain({}), stop: () => served.stop() };
}

function guest(name: string): DomainConfig {
  const cfg = parseCfg(`name="${name}"\nkernel="bulk"\nmemory=1\ndisk=["/dev/null,raw,xvda,r"]\nvif=[""]\n`);
  if (!cfg.ok) throw new Error(cfg.errors[0]!.text);
  return cfg.config;
}

/** A guest that needs no process of its own: this one stands for it. */
const noProcess = {
  join: () => ({
    id: { ...identify(process.pid)!, shared: true },
    over: new Promise<string>(() => {}),
    go: () => {},
  }),
} as unknown as Bulk;

function counting(connector: Connector, count: { requests: number }): Connector {
  return {
    name: connector.name,
    connect: async (user) => {
      const transport = await connector.connect(user);
      return {
        send: (message) => {
          count.requests++;
          transport.send(message);
        },
        close: () => transport.close(),
      };
    },
  };
}

/** Each domain that is made there is made for the daemon, too. */
function shown(ctrl: Ctrl, served: Served): Ctrl {
  return new Proxy(ctrl, {
    get: (_, key) => {
      const value: unknown = Reflect.get(ctrl, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const answer: unknown = value.apply(ctrl, args);
        if (key === 'createDomain') served.addDomain?.(answer as number);
        return answer;
      };
    },
  });
}

/** As backends do, but for their rings: each device goes to InitWait when it is ordered, and is closed when it is to close. */
async function takeOn(store: Client, root: string): Promise<void> {
  for await (const { path } of store.watch(root)) {
    if (!path.endsWith('/state')) continue;
    const state = await store.findText(path);
    if (state === '1') await store.write(path, '2');
    else if (state === '5') await store.write(path, '6');
  }
}
