/**
 * What a word that is being typed may become: commands, flags, domains, devices. Files are for the shell to complete. Never fails: a toolstack that
 * does not answer has nothing to offer.
 */
import { domainsOf } from './domains.ts';
import { mayRun } from './roles.ts';
import type { Session } from './session.ts';
import { printable } from './tables.ts';
import type { Choice, Verb, WordKind } from './verb.ts';
import { verbs } from './verbs/all.ts';

/** `words`: without the program's name; the last is the one being typed, which may be empty. */
export async function complete(words: readonly string[], session: Session): Promise<string[]> {
  const from = words.findIndex((word, index) => !/^-[^-]/.test(word) || index === words.length - 1);
  const [name = '', ...rest] = words.slice(Math.max(0, from));
  const typed = rest.at(-1);
  if (typed === undefined) return named(session).filter((verb) => verb.startsWith(name));
  const candidates = name === 'help' ? named(session) : await forVerb(verbs.get(name), rest, session);
  return candidates.filter((candidate) => candidate.startsWith(typed) && printable(candidate) === candidate);
}

function named({ role }: Session): string[] {
  return ['help', ...verbs.keys()].filter((name) => name === 'help' || mayRun(role, name)).sort();
}

async function forVerb(
  verb: Verb | undefined,
  words: readonly string[],
  session: Session,
): Promise<string[]> {
  if (verb === undefined || !mayRun(session.role, verb.name)) return [];
  if (words.at(-1)!.startsWith('-')) return flagsOf(verb.choices);
  const before = words.slice(0, -1).filter((word) => !word.startsWith('-'));
  const kind = verb.kinds[Math.min(before.length, verb.kinds.length - 1)];
  return kind === undefined ? [] : await ofKind(kind, before[0], session);
}

export function flagsOf(choices: readonly Choice[]): string[] {
  return [...choices.flatMap(({ flags }) => flags.split(/[ ,]+/)), '-h', '--help'].filter((word) =>
    word.startsWith('-'),
  );
}

async function ofKind(kind: WordKind, domain: string | undefined, session: Session): Promise<string[]> {
  try {
    switch (kind) {
      case 'domain':
        return (await domainsOf(session)).map(({ name }) => name);
      case 'vbd':
      case 'vif':
      case 'pvcalls': {
        const devices = domain === undefined ? [] : await session.toolstack.devices(domain, kind);
        return devices.map(({ name, devid }) => (kind === 'vbd' ? name : String(devid)));
      }
      case 'file':
      case 'free':
        return [];
    }
  } catch {
    return [];
  }
}
