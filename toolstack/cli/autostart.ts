/** `stubdom0 autostart`: creates the domains of a directory's cfg files that are not there yet, in the order of the files' names. */
import { readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Fault, reasonOf } from '../io/fault.ts';
import { readConfig } from './cfg.ts';
import type { Session } from './session.ts';

/** Exit code 1: one could not be created; the others are. */
export async function autostart(directory: string, session: Session): Promise<number> {
  const from = resolve(session.directory, directory);
  let names: string[];
  try {
    names = readdirSync(from).filter((name) => name.endsWith('.cfg'));
  } catch (error) {
    throw new Fault(reasonOf(error));
  }
  let code = 0;
  for (const name of names.sort()) {
    if ((await start(join(from, name), session)) !== 0) code = 1;
  }
  return code;
}

async function start(file: string, session: Session): Promise<number> {
  try {
    // A cfg file's paths are from where it is: nobody is anywhere here.
    const config = await readConfig(session, file, { quiet: true, directory: dirname(file) });
    if (config === undefined) return 1;
    if ((await session.toolstack.list()).some(({ name }) => name === config.name)) {
      session.out(`${config.name} is there already\n`);
      return 0;
    }
    const domid = await session.toolstack.create({ config, start: 'running' }, () => {}, session.signal);
    session.out(`${config.name} is domain ${domid}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    session.err(`stubdom0: ${file}: ${error.message}\n`);
    return 1;
  }
}
