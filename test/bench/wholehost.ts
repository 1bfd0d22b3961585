/**
 * A host of ours with a great many guests, all its processes and their rings: how long each guest takes to be made, what that costs the store, and whether all
 * devices come to be connected. A file of cfg files is started by `stubdom0 up`, as its user would do it.
 */
import { once } from 'node:events';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, connect } from '../../xenstored/client/index.ts';
import { UpHost } from '../toolstack/uphost.ts';
import { short } from './figures.ts';
import { cpuNs } from './processes.ts';
import type { Table } from './table.ts';

export interface HostScore {
  readonly domains: readonly [number, number];
  /** From the first to the last, and until the last device is connected. */
  readonly seconds: number;
  readonly connectedSeconds: number;
  /** Devices whose both ends are Connected. */
  readonly connected: number;
  /** For one domain, beside few and beside many: by the clock, and of the store's CPU. */
  readonly ms: readonly [number, number];
  readonly cpuMs: readonly [number, number];
}

/** Domains that a point's figure is the mean of. */
const AROUND = 20;
const CONNECTED = '4';
const PATIENCE_S = 120;

interface Mark {
  readonly atMs: number;
  readonly cpuNs: number;
}

export async function wholeHost(few: number, many: number): Promise<HostScore> {
  const wide = { memoryMb: 64 };
  const host = new UpHost({
    name: 'many',
    machine: { memoryMb: 4096 + many },
    xenstored: { memoryMb: 64 },
    console: wide,
    blkback: wide,
    netback: wide,
    autostart: ['guests'],
  });
  try {
    writeGuests(host.top, many);
    const marks: Mark[] = [];
    let pid: number | undefined;
    createInterface({ input: host.child.stdout! }).on('line', (line) => {
      if (/is domain \d+$/.test(line))
        marks.push({ atMs: performance.now(), cpuNs: pid === undefined ? 0 : cpuNs(pid) });
    });
    await host.line(/is domain \d+$/);
    pid = (await host.process('xenstored')).id!.pid;
    await host.isUp();
    const store = await connect({ path: host.socket });
    const connected = await allConnected(store, 2 * many);
    const end = performance.now();
    await store.close();
    const at = (point: number): Mark => marks[Math.min(point, marks.length) - 1]!;
    const between = (point: number, value: (mark: Mark) => number): number =>
      (value(at(point + AROUND / 2)) - value(at(point - AROUND / 2 + 1))) / (AROUND - 1);
    const points = [few + AROUND / 2, many - AROUND / 2] as const;
    const pair = (value: (mark: Mark) => number): readonly [number, number] => [
      between(points[0], value),
      between(points[1], value),
    ];
    return {
      domains: [few, many],
      seconds: (marks.at(-1)!.atMs - marks[0]!.atMs) / 1000,
      connectedSeconds: (end - marks[0]!.atMs) / 1000,
      connected,
      ms: pair(({ atMs }) => atMs),
      cpuMs: pair(({ cpuNs }) => cpuNs / 1e6),
    };
  } finally {
    host.child.kill('SIGTERM');
    await (host.child.exitCode === null && host.child.signalCode === null ? once(host.child, 'close') : 0);
    await host.clear();
  }
}

function writeGuests(top: string, many: number): void {
  const disk = join(top, 'disk.img');
  writeFileSync(disk, '');
  truncateSync(disk, 1 << 20);
  mkdirSync(join(top, 'guests'));
  for (let number = 1; number <= many; number++) {
    const name = `guest${`${number}`.padStart(5, '0')}`;
    const lines = [
      `name="${name}"`,
      'kernel="bulk"',
      'memory=1',
      `disk=["${disk},raw,xvda,r"]`,
      'vif=[""]',
      '',
    ];
    writeFileSync(join(top, 'guests', `${name}.cfg`), lines.join('\n'));
  }
}

/** How many devices have both ends Connected: until they are so many, or time is over. */
async function allConnected(store: Client, wanted: number): Promise<number> {
  for (let waitedS = 0; ; waitedS++) {
    const found = await connectedDevices(store);
    if (found >= wanted || waitedS >= PATIENCE_S) return found;
    await delay(1000);
  }
}

async function connectedDevices(store: Client): Promise<number> {
  const domids = await store.directory('/local/domain');
  const each = await Promise.all(
    domids.map(async (domid) => {
      const states = await Promise.all(
        ['vbd/51712', 'vif/0'].map(async (device) => {
          const front = `/local/domain/${domid}/device/${device}`;
          const back = await store.findText(`${front}/backend`);
          const ends = back === undefined ? [] : [front, back];
          const both = await Promise.all(ends.map((end) => store.findText(`${end}/state`)));
          return both.length === 2 && both.every((state) => state === CONNECTED);
        }),
      );
      return states.filter(Boolean).length;
    }),
  );
  return each.reduce((sum, count) => sum + count, 0);
}

export function hostTable({ domains, seconds, connectedSeconds, connected, ms, cpuMs }: HostScore): Table {
  const [few, many] = domains;
  const row = (what: string, [first, last]: readonly [number, number]): string[] => [
    what,
    short(first),
    short(last),
    `x${(last / first).toFixed(2)}`,
  ];
  return {
    title: `A host of ours with ${many} guests`,
    head: ['milliseconds for a domain', `at ${few}`, `at ${many}`, `${many}/${few}`],
    body: [row("the store's CPU", cpuMs), row('clock', ms)],
    notes: [
      `${many} domains with a disk and an interface each, one after the other: ${seconds.toFixed(0)} s; after ${connectedSeconds.toFixed(0)} s`,
      `${connected} of ${2 * many} devices were Connected at both ends. "The store" is xenstored with its guests' rings, backends and consoles asking, too.`,
    ],
  };
}
