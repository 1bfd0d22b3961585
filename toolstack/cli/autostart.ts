/**
 * Creates the domains of cfg files and of directories of them, but for those that are there already: `stubdom0 autostart`, and what a host file
 * says. Paths in a cfg file are from where it is: nobody is anywhere when a host comes up.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault, reasonOf } from '../io/fault.ts';
import { readConfig } from './cfg.ts';
import type { Session } from './session.ts';
import { printable } from './tables.ts';

/** For whom it is done, and to whom it is told: a line for each domain, and for each mistake. */
export type Starter = Pick<Session, 'toolstack' | 'signal' | 'out' | 'err'>;

/** `paths`: absolute; of a directory all NAME.cfg in the order of their names. 1: one could not be created; the others are. */
export async function autostart(paths: readonly string[], starter: Starter): Promise<number> {
  let code = 0;
  const names = new Names(starter);
  for (const path of paths) {
    try {
      for (const file of filesAt(path)) if (!(await start(file, starter, names))) code = 1;
    } catch (error) {
      starter.err(`stubdom0: ${reasonOf(error)}\n`);
      code = 1;
    }
  }
  return code;
}

function filesAt(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => name.endsWith('.cfg'));
  return names.sort().map((name) => join(path, name));
}

/** Of the domains that are there: asked for once, since a list of all before each of many is what would take longest. */
class Names {
  readonly #starter: Starter;
  #names: Promise<Set<string>> | undefined;

  constructor(starter: Starter) {
    this.#starter = starter;
  }

  async has(name: string): Promise<boolean> {
    this.#names ??= this.#starter.toolstack.list().then((all) => new Set(all.map((one) => one.name)));
    return (await this.#names).has(name);
  }

  async add(name: string): Promise<void> {
    (await this.#names)?.add(name);
  }
}

async function start(file: string, starter: Starter, names: Names): Promise<boolean> {
  const { toolstack, signal } = starter;
  const reader = {
    directory: dirname(file),
    readFile: async () => readFileSync(file, 'utf8'),
    err: (text: string) => starter.err(text),
    toolstack,
  };
  try {
    const read = await readConfig(reader, file, { quiet: true });
    if (read === undefined) return false;
    const { config } = read;
    if (await names.has(config.name)) {
      starter.out(`${config.name} is there already\n`);
      return true;
    }
    const domid = await toolstack.create({ ...read, start: 'running' }, () => {}, signal);
    await names.add(config.name);
    starter.out(`${config.name} is domain ${domid}\n`);
    return true;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    starter.err(`stubdom0: ${file}: ${printable(error.message)}\n`);
    return false;
  }
}
