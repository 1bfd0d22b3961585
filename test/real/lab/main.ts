#!/usr/bin/env node
/**
 * `npm run test:xen`: real Xen in an emulated machine, our build in its dom0, scenarios run there. And `npm run xen:shell`: the same machine
 * with a person in it. Reads the command line and introduces the parts to each other; README.md beside this folder tells the rest.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { cacheFolder, inFolder } from '../../../xenstored/stubdom/folders.ts';
import { runBoot } from './boot.ts';
import { bootFiles } from './bootfiles.ts';
import type { MachineOptions } from './machine.ts';
import { stageNode } from './node.ts';
import { stagePackage } from './package.ts';
import { installed, lacking } from './packages.ts';
import { type Boot, bootsOf, chosenRows, type Found, type Row } from './plan.ts';
import { stagePvcalls } from './pvcalls.ts';
import { indent, type RowResult, seconds, table, verdict } from './report.ts';
import type { Need, Scenario, StoreKind } from './scenario.ts';
import { shell } from './shell.ts';
import { stage } from './stage.ts';
import { stageStubdom } from './stubdom.ts';

const BUILT = resolve(import.meta.dirname, '../../..');
const TOP = resolve(BUILT, '..');
const STORES: readonly StoreKind[] = ['ours', 'c', 'ox', 'none'];

interface Asked {
  readonly all?: true;
  readonly only?: RegExp;
  readonly store?: StoreKind;
  readonly list?: true;
  readonly out?: string;
}

const say = (line: string): void => console.log(line);

function pattern(text: string): RegExp {
  try {
    return new RegExp(text, 'i');
  } catch {
    throw new InvalidArgumentError('not a regular expression.');
  }
}

const program = new Command('test:xen')
  .description('runs scenarios on real Xen, in an emulated machine; alone: the one that runs always')
  // Words after `shell` are that command's.
  .enablePositionalOptions()
  .option('--all', 'every scenario on every store that it is for')
  .option('--only <pattern>', 'rows whose name or file matches', pattern)
  .addOption(new Option('--store <kind>', 'only with this daemon').choices(STORES))
  .option('--list', 'shows what would run, and ends')
  .option('--out <dir>', 'where all logs go (default: a new folder in the temporary directory)')
  .action(run);
program
  .command('shell')
  .description('a shell in dom0; end it with exit')
  .addOption(new Option('--store <kind>', 'the daemon that serves the store').choices(STORES).default('ours'))
  .option('--hap', 'with nested paging, for PVH guests')
  .action(async ({ store, hap }: { readonly store: StoreKind; readonly hap?: true }) => {
    await inScratch(async (scratch) => {
      const ready = await prepare(join(scratch, 'app'));
      await shell({ ...ready, scratch, store, hap: hap === true });
    });
  });

const suppliers: Readonly<Record<Need, typeof stage>> = {
  package: stagePackage,
  stubdom: stageStubdom,
  node: stageNode,
  pvcalls: stagePvcalls,
};

/** All scenarios, by their files' names. */
async function scenarios(): Promise<readonly Found[]> {
  // What was removed may still lie among what is built.
  const files = readdirSync(join(TOP, 'test/real/scenarios'))
    .filter((name) => name.endsWith('.ts'))
    .sort();
  const found: Found[] = [];
  for (const name of files) {
    const file = name.slice(0, -3);
    const module = (await import(join(BUILT, `test/real/scenarios/${file}.js`))) as {
      readonly scenarios?: readonly Scenario[];
    };
    for (const [index, scenario] of (module.scenarios ?? []).entries()) found.push({ file, index, scenario });
  }
  return found;
}

/** Boot files, and the project staged at `app` with what scenarios need beyond it. */
async function prepare(
  app: string,
  needs: ReadonlySet<Need> = new Set(),
): Promise<Pick<MachineOptions, 'boot' | 'app' | 'packages'>> {
  if (process.arch !== 'x64')
    throw new Error(`the lab emulates x86-64 with its packages; this is ${process.arch}`);
  const { versions, missing } = installed(needs);
  if (missing.length > 0)
    throw new Error(
      `these packages of Debian 12 are missing: apt-get install --no-install-recommends ${missing.join(' ')}`,
    );
  const { folder } = await bootFiles(cacheFolder(process.env), versions, say);
  await stage(app, BUILT, TOP);
  for (const need of needs) await suppliers[need](app, BUILT, TOP);
  return { boot: folder, app, packages: join(TOP, 'node_modules') };
}

async function run(asked: Asked): Promise<void> {
  const rows = possible(chosenRows(await scenarios(), { ...asked, all: asked.all === true }));
  const boots = bootsOf(rows);
  if (rows.length === 0) throw new Error('no scenario is chosen; --list --all shows which there are');
  if (asked.list) {
    for (const [number, { store, hap, rows }] of boots.entries()) {
      say(`boot ${number + 1}: ${store}${hap ? ', nested paging' : ''}`);
      for (const { scenario, file } of rows) say(`  ${scenario.name}  (${file})`);
    }
    return;
  }
  const begun = performance.now();
  const stopping = new AbortController();
  // A boot that is under way still has results; before the first one, there is nothing to tell.
  let stop = (): void => process.exit(130);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop());
  const results: RowResult[] = [];
  let logs = '';
  await inScratch(async (scratch) => {
    const needs = new Set(rows.flatMap(({ scenario }) => scenario.needs ?? []));
    const ready = await prepare(join(scratch, 'app'), needs);
    stop = () => stopping.abort();
    logs =
      asked.out === undefined
        ? mkdtempSync(join(tmpdir(), 'stubdom0-xen-'))
        : resolve(process.env.INIT_CWD ?? '.', asked.out);
    mkdirSync(logs, { recursive: true });
    for (const [number, boot] of boots.entries()) {
      const own = join(logs, `boot-${number + 1}-${boot.store}`);
      const kind = `store ${boot.store}${boot.hap ? ', nested paging' : ''}`;
      say(`boot ${number + 1} of ${boots.length}: ${kind}; its console: ${join(own, 'serial.log')}`);
      if (stopping.signal.aborted) results.push(...notRun(boot));
      else results.push(...(await runBoot(boot, { ...ready, logs: own, say, signal: stopping.signal })));
    }
  });
  say(`\n${table(results)}\n`);
  say(`${verdict(results)} in ${seconds((performance.now() - begun) / 1000)}; logs: ${logs}`);
  if (results.some(({ outcome }) => outcome !== 'passed')) process.exitCode = 1;
}

/** Says which rows are skipped for want of a package. */
function possible(rows: readonly Row[]): readonly Row[] {
  return rows.filter(({ scenario }) => {
    const missing = lacking(scenario.needs);
    if (missing.length === 0) return true;
    say(`skipped: ${scenario.name}: apt-get install --no-install-recommends ${missing.join(' ')}`);
    return false;
  });
}

function notRun({ rows }: Boot): readonly RowResult[] {
  return rows.map(({ scenario, store }) => ({ name: scenario.name, store, outcome: 'not run', figures: [] }));
}

/** A folder for the time of `body`. Those of labs that were killed go as well: the name tells whose it was. */
async function inScratch(body: (folder: string) => Promise<void>): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^stubdom0-lab-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
  await inFolder(join(tmpdir(), `stubdom0-lab-${process.pid}-`), body);
}

try {
  await program.parseAsync();
} catch (error) {
  console.error(`test:xen: ${indent((error as Error).message, '  ').trim()}`);
  process.exitCode = 1;
}
