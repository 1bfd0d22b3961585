/** A cfg file on its way to an order: read, its mistakes told line by line, its paths made whole from where its user is. */
import { resolve } from 'node:path';
import { mistakeLine, parseCfg } from '../core/cfg.ts';
import { resolvedConfig } from '../core/cfgpaths.ts';
import type { DomainConfig } from '../core/config.ts';
import type { CfgText } from '../core/toolstack.ts';
import { Fault } from '../io/fault.ts';
import type { Session } from './session.ts';
import { printable } from './tables.ts';

export interface ReadOptions {
  /** Further lines behind the file's, from the command line. */
  readonly extra?: readonly string[];
  /** Does not say that it reads; what is odd or wrong is said all the same, as by xl. */
  readonly quiet?: boolean;
}

export interface ReadCfg {
  readonly config: DomainConfig;
  /** What it was read from, the further lines behind it. */
  readonly cfg: CfgText;
}

/** `file`: `-` is standard input. Mistakes are written to the session; undefined: there were some. Throws Fault. */
export async function readConfig(
  session: Pick<Session, 'directory' | 'readFile' | 'err' | 'toolstack'>,
  file: string,
  { extra = [], quiet = false }: ReadOptions = {},
): Promise<ReadCfg | undefined> {
  let text: string;
  try {
    text = await session.readFile(file);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // As xl's: ERROR_FAIL.
    throw new Fault(`failed to read config file: ${error.message}`, { exitCode: 3 });
  }
  if (!quiet) session.err(`Parsing config from ${file}\n`);
  const own = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  const lines = own.split('\n').length - 1;
  const whole = own + extra.map((line) => `${line}\n`).join('');
  const parsed = parseCfg(whole, readerOf(session));
  const say = ({ line, text }: { line: number; text: string }): void =>
    session.err(`${printable(line > lines ? `command line: ${text}` : mistakeLine(file, { line, text }))}\n`);
  parsed.warnings.forEach(say);
  if (!parsed.ok) {
    parsed.errors.forEach(say);
    return undefined;
  }
  const { directory } = session;
  return {
    config: resolvedConfig(parsed.config, (path) => resolve(directory, path)),
    cfg: { text: whole, directory },
  };
}

/** A file may be looked at where no host is. */
function readerOf(session: Pick<Session, 'toolstack'>): 'xl' | undefined {
  try {
    return session.toolstack.reader;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return undefined;
  }
}
