/**
 * The `stubdom0` command: words that are a host's own affair (words.ts), and all others, which drive its toolstack (run.ts), over a session at this shell.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../io/fault.ts';
import { runPath } from '../io/state.ts';
import { shells } from './completion.ts';
import { manual, overview, usage } from './manual.ts';
import { endWithOutput } from './output.ts';
import { parseWords } from './parse.ts';
import type { Choice } from './verb.ts';
import { hostChoices, hostWords, inSession, type Shell, serviceWords, type Word } from './words.ts';

const words: readonly Word[] = [...hostWords, ...serviceWords];

/** Answers the exit code. `args`: without the program's name. Throws Fault. */
export async function runProgram(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  if (args[0] === 'complete') return await completeWords(args.slice(1), env);
  const { rest, values } = takeHost(args);
  const shell: Shell = { run: runPath(values.run, env), platform: values.platform, env };
  const [name, ...more] = rest;
  const word = words.find((each) => each.name === name);
  if (word !== undefined) return await runWord(word, more, shell);
  endWithOutput();
  if (name === '--version') return await showVersion();
  if (name === undefined || ['help', '-h', '--help'].includes(name)) {
    const asked = words.find((each) => each.name === more[0]);
    if (asked !== undefined) return await page(asked);
    if (more.length === 0) return await showAll(name === undefined ? 1 : 0);
  }
  return await inSession(shell, async (session) => (await import('./run.ts')).runCommand(rest, session));
}

async function runWord(word: Word, args: readonly string[], shell: Shell): Promise<number> {
  const { words: given, flags } = parseWords(word.name, await choicesOf(word), args);
  if (word.stays === undefined || flags.help) endWithOutput();
  if (flags.help) return await page(word);
  if (given.length > word.most) {
    throw new Fault(`${word.name} does not take "${given[word.most]}"\n${usage(word)}`, { kind: 'usage' });
  }
  return await word.run({ words: given, flags }, shell);
}

async function choicesOf({ choices }: Word): Promise<readonly Choice[]> {
  return typeof choices === 'function' ? await choices() : choices;
}

async function page(word: Word): Promise<number> {
  process.stdout.write(manual({ ...word, choices: [...(await choicesOf(word)), ...hostChoices] }));
  return 0;
}

async function showAll(code: number): Promise<number> {
  const { verbGroups } = await import('./verbs/all.ts');
  process.stdout.write(overview([['The host', hostWords], ...verbGroups, ['Its services', serviceWords]]));
  return code;
}

const PATIENCE_MS = 2_000;

/** `complete -- WORDS`: one candidate a line; for shells, which show nothing of what goes wrong. */
async function completeWords(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  endWithOutput();
  const { rest, values } = takeHost(args[0] === '--' ? args.slice(1) : args);
  // Nobody who presses Tab waits for a toolstack that is just being started.
  setTimeout(() => process.exit(0), PATIENCE_MS).unref();
  const { complete, flagsOf } = await import('./complete.ts');
  const [name = '', ...more] = rest;
  const word = words.find((each) => each.name === name);
  if (word !== undefined && more.length > 0) {
    const typed = more.at(-1)!;
    const offered = [
      ...flagsOf([...(await choicesOf(word)), ...hostChoices]),
      ...(name === 'completion' ? shells : []),
    ];
    return print(offered.filter((each) => typed !== '' && each.startsWith(typed)));
  }
  const own = more.length === 0 ? words.map((each) => each.name).filter((each) => each.startsWith(name)) : [];
  return await inSession({ run: runPath(values.run, env), platform: values.platform, env }, async (session) =>
    print([...own, ...(await complete(rest, session))].sort()),
  );
}

async function showVersion(): Promise<number> {
  const { packageRoot } = await import('../io/hostfile.ts');
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
  return print([`stubdom0 ${version}`]);
}

function print(lines: readonly string[]): number {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  return 0;
}

/** `--run DIR` and `--platform NAME`, wherever they stand. */
function takeHost(args: readonly string[]): { rest: string[]; values: { run?: string; platform?: string } } {
  const rest: string[] = [];
  const values: { run?: string; platform?: string } = {};
  for (let at = 0; at < args.length; at++) {
    const match = /^--(run|platform)(?:=(.*))?$/s.exec(args[at]!);
    if (match === null) {
      rest.push(args[at]!);
      continue;
    }
    const value = match[2] ?? args[++at];
    if (value === undefined) throw new Fault(`--${match[1]} takes a value`, { kind: 'usage' });
    values[match[1] as 'run' | 'platform'] = value;
  }
  return { rest, values };
}
