/**
 * One command, from its words to its exit code: `runCommand` is all that a shell and SSH need. Wrong words, missing roles and what the toolstack
 * refuses are one line on the session's standard error; only mistakes of ours are thrown.
 */
import { Fault } from '../io/fault.ts';
import { invalid } from './domains.ts';
import { manual, overview, usage } from './manual.ts';
import { parseWords } from './parse.ts';
import { mayRun } from './roles.ts';
import type { Session } from './session.ts';
import { printable } from './tables.ts';
import type { Verb } from './verb.ts';
import { notHere, verbGroups, verbs } from './verbs/all.ts';

/** Answers the exit code. `words`: without the program's name. */
export async function runCommand(words: readonly string[], session: Session): Promise<number> {
  const { letters, rest } = globals(words);
  const bad = [...letters].find((letter) => !'vftTN'.includes(letter));
  if (bad !== undefined) return refuse(session, `unknown global option -${bad}`, 1);
  const [name, ...args] = rest;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help')
    return help(name, args, session);
  const verb = verbs.get(name);
  if (verb === undefined) {
    const why = notHere.has(name)
      ? `"${name}" of xl is not there; on real Xen, xl itself is`
      : `there is no command "${name}"; "help" lists them`;
    return refuse(session, why, 1);
  }
  try {
    return await run(verb, args, letters, session);
  } catch (error) {
    if (session.signal.aborted) return refuse(session, 'interrupted; what was begun is taken back', 130);
    if (!(error instanceof Fault)) throw error;
    return refused(error, verb, args, session);
  }
}

async function run(verb: Verb, args: readonly string[], letters: string, session: Session): Promise<number> {
  const { words, flags } = parseWords(verb.name, verb.choices, args);
  if (flags.help) {
    session.out(manual(verb));
    return 0;
  }
  if (!mayRun(session.role, verb.name)) throw new Fault(`${verb.name} is not for the role ${session.role}`);
  const [least, most] = verb.words;
  if (words.length < least) {
    const needed = `requires at least ${least} argument${least > 1 ? 's' : ''}`;
    throw new Fault(`'stubdom0 ${verb.name}' ${needed}.`, { kind: 'usage' });
  }
  if (words.length > most) {
    const taken = most === 0 ? 'no arguments' : `at most ${most} argument${most > 1 ? 's' : ''}`;
    throw new Fault(`'stubdom0 ${verb.name}' takes ${taken}.`, { kind: 'usage' });
  }
  const dry = letters.includes('N');
  if (dry && !verb.dry) throw new Fault('command does not implement -N (dryrun) option');
  // A key for one guest's console gets that one, whatever else was asked for.
  const own = session.role === 'console' && session.guest !== undefined ? [session.guest] : words;
  return await verb.run(
    { words: own, flags: dry ? { ...flags, dryrun: true } : flags, verbose: letters.includes('v') },
    session,
  );
}

function refused(fault: Fault, verb: Verb, args: readonly string[], session: Session): number {
  if (fault.kind === 'no domain') {
    const ref = args.find((word) => !word.startsWith('-'));
    session.err(`${ref === undefined ? fault.message : invalid(ref)}\n`);
  } else if (fault.kind === 'usage') session.err(`${fault.message}\n${usage(verb)}\n`);
  else session.err(`stubdom0: ${printable(fault.message)}\n`);
  return fault.exitCode;
}

function refuse(session: Session, why: string, code: number): number {
  session.err(`stubdom0: ${printable(why)}\n`);
  return code;
}

/** `-vN create ...`: xl's letters before the command. */
function globals(words: readonly string[]): { letters: string; rest: readonly string[] } {
  let letters = '';
  let at = 0;
  while (at < words.length && /^-[^-h]/.test(words[at]!)) letters += words[at++]!.slice(1);
  return { letters, rest: words.slice(at) };
}

function help(asked: string | undefined, [name]: readonly string[], session: Session): number {
  if (asked !== undefined && name !== undefined) {
    const verb = verbs.get(name);
    if (verb === undefined) return refuse(session, `there is no command "${name}"`, 1);
    session.out(manual(verb));
    return 0;
  }
  session.out(overview(shownTo(session)));
  return asked === undefined ? 1 : 0;
}

/** What is of no use to somebody is not shown to them. */
function shownTo({ role }: Session): (readonly [string, readonly Verb[]])[] {
  return verbGroups
    .map(([title, group]) => [title, group.filter(({ name }) => mayRun(role, name))] as const)
    .filter(([, group]) => group.length > 0);
}
