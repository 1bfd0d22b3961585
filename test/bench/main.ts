/**
 * `npm run bench`: our xenstored side by side with Xen's own, and our backends, as README.md here says. Reads the command line, introduces the
 * parts to each other and prints their tables; measures nothing itself.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type AdminScore, admin, adminTable } from './admin.ts';
import { contest, contestTable } from './contest.ts';
import { type Contestant, contestant, nodeFlags, ourFlags, Stable, stopAll } from './contestants.ts';
import { core, coreTable } from './core.ts';
import { type CreateScore, create, createTable } from './create.ts';
import { disk, diskRows, diskTable } from './disk.ts';
import { diskDoor, doorTable } from './disk-door.ts';
import { domains, domainsTable } from './domains.ts';
import { loadProgram } from './load.ts';
import { type MemoryScore, memory, memoryTable } from './memory.ts';
import { net, netTable } from './net.ts';
import { rows } from './rows.ts';
import { sock, sockTables } from './sock.ts';
import { type StartScore, startup, startupTable } from './startup.ts';
import { markdown, plain, type Table } from './table.ts';
import { FEW, toolstack, toolstackTable } from './toolstack.ts';
import { hostTable, wholeHost } from './wholehost.ts';

/** Of the store, with contestants; of backends. */
const STORE_PARTS = ['rows', 'domains', 'create', 'memory', 'startup', 'core', 'admin', 'toolstack'] as const;
const PARTS = [...STORE_PARTS, 'net', 'disk', 'disk-door', 'sock'] as const;
type Part = (typeof PARTS)[number];

interface Asked {
  readonly rounds?: number;
  readonly seconds?: number;
  readonly rows: RegExp;
  readonly peer: readonly string[];
  readonly onlyOurs?: true;
  readonly only: readonly Part[];
  readonly quick?: true;
  readonly json?: string;
  readonly markdown?: string;
  readonly node: readonly string[];
  readonly daemon: readonly string[];
}

/** What `--quick` shortens: it shows that everything runs, its figures mean little. */
const PACES = {
  full: {
    rounds: 5,
    seconds: 1,
    warmup: 0.25,
    starts: 9,
    nodes: 100_000,
    many: 1000,
    others: 300,
    steady: 20,
  },
  quick: { rounds: 1, seconds: 0.2, warmup: 0.1, starts: 3, nodes: 10_000, many: 100, others: 50, steady: 3 },
} as const;

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('not a number above 0.');
  return value;
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError('not a regular expression.');
  }
}

const collect = (text: string, before: readonly string[]) => [...before, text];

function command(): Command {
  return new Command('bench')
    .description("measures our xenstored beside Debian's C xenstored and oxenstored, and our backends")
    .option('--rounds <n>', 'how often each row is measured', positive)
    .option('--seconds <s>', 'how long each measurement takes', positive)
    .addOption(
      new Option('--rows <pattern>', 'only rows whose name matches').argParser(pattern).default(/./, 'all'),
    )
    .addOption(
      new Option('--peer <who>', 'ours, c, ox, or the path of a C xenstored; may be repeated')
        .argParser(collect)
        .default([], 'ours, c and ox'),
    )
    .option('--only-ours', 'no peers')
    .addOption(new Option('--only <part...>', 'only these parts').choices(PARTS).default([], 'all'))
    .option('--quick', 'one short round of everything, to see that it runs')
    .option('--json <file>', 'writes every figure')
    .option('--markdown <file>', 'writes the tables as Markdown')
    .addOption(
      new Option('--node <flag>', 'a flag for the node that runs ours, as --node=--cpu-prof; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    )
    .addOption(
      new Option('--daemon <flag>', 'a flag for ours, as --daemon=--database=memory; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    );
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function contestants(asked: Asked): Contestant[] {
  const names = asked.onlyOurs ? ['ours'] : asked.peer.length > 0 ? asked.peer : ['ours', 'c', 'ox'];
  return names.map(contestant).filter((one) => {
    if (one.missing) say(`SKIPPED ${one.name}: ${one.missing}`);
    return !one.missing;
  });
}

async function main(): Promise<void> {
  const program = command().parse();
  const asked = program.opts<Asked>();
  const pace = PACES[asked.quick ? 'quick' : 'full'];
  const wanted = (part: Part) => (asked.only.length > 0 ? asked.only.includes(part) : true);
  const rounds = asked.rounds ?? pace.rounds;
  const seconds = asked.seconds ?? pace.seconds;
  nodeFlags.push(...asked.node);
  ourFlags.push(...asked.daemon);

  const tables: Table[] = [];
  const raw: Record<string, unknown> = {};
  const show = (table: Table, scores: unknown, part: Part) => {
    process.stdout.write(`${plain(table)}\n`);
    tables.push(table);
    raw[part] = scores;
  };
  if (availableParallelism() < 2)
    say('one core only: daemon and generator share it, the figures mean little');
  const who = STORE_PARTS.some(wanted) ? contestants(asked) : [];
  if (who.length > 0) loadProgram();
  const ofStore = (part: Part) => who.length > 0 && wanted(part);

  if (ofStore('rows')) {
    const stable = new Stable();
    try {
      const chosen = rows.filter((row) => asked.rows.test(row.name));
      const timing = { rounds, seconds, warmup: pace.warmup };
      const scores = await contest(chosen, who, timing, stable, say);
      const names = who.map(({ name }) => name);
      show(
        contestTable(scores, names, timing),
        [...scores].map(([row, cells]) => ({ ...row, figures: Object.fromEntries(cells) })),
        'rows',
      );
    } finally {
      await stable.close();
    }
  }
  if (ofStore('domains')) {
    const { many: ours, others } = pace;
    const scores = await domains(who, { rounds: Math.min(rounds, 3), seconds, few: 10, ours, others });
    show(domainsTable(scores), scores, 'domains');
  }
  if (ofStore('create')) {
    const scores: CreateScore[] = [];
    for (const one of who) {
      scores.push(await create(one, pace.others));
      if (one.name === 'ours') scores.push(await create(one, pace.many));
    }
    show(createTable(scores), scores, 'create');
  }
  if (ofStore('memory')) {
    const scores: MemoryScore[] = [];
    for (const one of who) scores.push(await memory(one, pace.nodes, seconds));
    show(memoryTable(scores), scores, 'memory');
  }
  if (ofStore('startup')) {
    const scores: StartScore[] = [];
    for (const one of who) scores.push(await startup(one, pace.starts));
    show(startupTable(scores, pace.starts), scores, 'startup');
  }
  if (ofStore('core') && who.some(({ name }) => name === 'ours')) {
    const scores = await core(seconds);
    show(coreTable(scores), scores, 'core');
  }
  if (ofStore('admin')) {
    const scores: AdminScore[] = [];
    for (const one of who) scores.push(await admin(one, 3 * seconds));
    show(adminTable(scores), scores, 'admin');
  }
  if (ofStore('toolstack')) {
    const scores = await toolstack(who, { others: pace.others, most: pace.many }, say);
    show(toolstackTable(scores), scores, 'toolstack');
    if (who.some(({ name }) => name === 'ours')) {
      const host = await wholeHost(FEW, pace.many);
      show(hostTable(host), { scores, host }, 'toolstack');
    }
  }
  if (wanted('net')) {
    const timing = { rounds, seconds: 2 * seconds };
    const scores = await net(timing, { node: asked.node, wanted: asked.rows }, say);
    show(netTable(scores, timing), scores, 'net');
  }
  if (wanted('disk')) {
    const timing = { rounds, seconds, warmup: pace.warmup, steady: pace.steady };
    const chosen = diskRows.filter(({ name }) => asked.rows.test(name));
    const scores = await disk(chosen, timing, { node: asked.node }, say);
    show(diskTable(scores, timing), scores, 'disk');
  }
  if (wanted('disk-door')) {
    const scores = await diskDoor({ rounds, seconds }, asked.rows, say);
    show(doorTable(scores), scores, 'disk-door');
  }
  if (wanted('sock')) {
    const timing = { rounds: Math.min(rounds, 3), seconds };
    const scores = await sock(timing, { node: asked.node, wanted: asked.rows }, say);
    for (const table of sockTables(scores, timing)) show(table, scores, 'sock');
  }
  if (asked.json) writeFileSync(asked.json, `${JSON.stringify(raw, null, 1)}\n`);
  if (asked.markdown) writeFileSync(asked.markdown, tables.map(markdown).join('\n'));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stopAll().finally(() => process.exit(130)));
}
await main().finally(stopAll);
