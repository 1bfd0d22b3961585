/** Commands for domains that are there: stop and go, names, ends. */
import type { DomainEntry } from '../../core/toolstack.ts';
import { Fault } from '../../io/fault.ts';
import { domainOf, domainsOf } from '../domains.ts';
import type { Session } from '../session.ts';
import { printable } from '../tables.ts';
import type { Choice, Given, Verb } from '../verb.ts';

const destroy: Verb = {
  name: 'destroy',
  summary: 'end a domain at once',
  synopsis: '[options] <Domain>',
  description: [
    'Ends the domain as if its plug had been pulled, and takes away all that was made for it. To let it end by itself, see shutdown.',
  ],
  choices: [{ flags: '-f', text: 'Even domain 0, which no host here allows.' }],
  examples: [['destroy carol', 'Carol is gone, and every trace of her.']],
  words: [1, 1],
  kinds: ['domain'],
  run: async ({ words: [ref = ''], flags }, session) => {
    if ((ref === '0' || ref === 'Domain-0') && !flags.f) {
      session.err('Not destroying domain 0; use -f to force.\n');
      return 1;
    }
    await session.toolstack.destroy(ref);
    return 0;
  },
};

const all: Choice = { flags: '-a, --all', text: 'All guests; services of the host go on.' };
const wait: Choice = { flags: '-w, --wait', text: 'Comes back when they have.' };
const fallback: Choice = {
  flags: '-F',
  text: "xl's: an ACPI event for guests that have no PV drivers. Accepted; no domain here has ACPI.",
};

const shutdown: Verb = {
  name: 'shutdown',
  summary: 'ask a domain to shut down',
  synopsis: '[options] <-a|Domain>',
  description: [
    'Writes poweroff to control/shutdown of the domain. What becomes of it then is what its cfg file says (on_poweroff).',
  ],
  choices: [all, wait, fallback],
  examples: [['shutdown -w carol', 'Comes back when carol has shut down.']],
  words: [0, 1],
  kinds: ['domain'],
  run: (given, session) => ask('poweroff', given, session),
};

const reboot: Verb = {
  name: 'reboot',
  summary: 'ask a domain to reboot',
  synopsis: '[options] <-a|Domain>',
  description: [
    'Writes reboot to control/shutdown of the domain. A domain that rebooted is made anew, with another number, unless its cfg file says otherwise ' +
      '(on_reboot).',
  ],
  choices: [all, wait, fallback],
  examples: [['reboot carol', 'Carol boots anew.']],
  words: [0, 1],
  kinds: ['domain'],
  run: (given, session) => ask('reboot', given, session),
};

async function ask(how: 'poweroff' | 'reboot', { words, flags }: Given, session: Session): Promise<number> {
  const [ref] = words;
  if (ref === undefined && !flags.all) {
    session.err('You must specify -a or a domain id.\n');
    return 1;
  }
  const targets = flags.all
    ? (await domainsOf(session)).filter(
        ({ role, shutdownReason }) => role === 'guest' && shutdownReason === undefined,
      )
    : [await domainOf(session, ref ?? '')];
  for (const { domid } of targets)
    session.err(`${how === 'reboot' ? 'Rebooting' : 'Shutting down'} domain ${domid}\n`);
  if (flags.wait) session.err(`Waiting for ${targets.length} domains\n`);
  const order = ({ domid }: DomainEntry, wait: 'wait' | 'return'): Promise<void> =>
    session.toolstack.shutdown(String(domid), how, wait);
  const look = shared(() => domainsOf(session));
  // Nobody is waited for before all are asked.
  const first = flags.wait && targets.length > AT_ONCE;
  const asked = first ? await forEach(targets, (domain) => order(domain, 'return')) : [];
  const outcomes = await forEach(targets, async (domain) => {
    await order(domain, flags.wait ? 'wait' : 'return');
    if (flags.wait) session.err(ended(domain, await look()));
  });
  const failed = [...asked, ...outcomes].flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  );
  // Of several, one that is not there any more is one less to wait for.
  const bad = failed.filter((error) => !flags.all || !(error instanceof Fault && error.kind === 'no domain'));
  if (bad.length > 0) throw bad[0];
  return 0;
}

/** So many domains are spoken to at a time: a toolstack does not take any number of orders at once. */
const AT_ONCE = 32;

async function forEach(
  domains: readonly DomainEntry[],
  act: (domain: DomainEntry) => Promise<void>,
): Promise<PromiseSettledResult<void>[]> {
  const outcomes: PromiseSettledResult<void>[] = [];
  const waiting = domains.values();
  const work = async (): Promise<void> => {
    for (const domain of waiting) outcomes.push(...(await Promise.allSettled([act(domain)])));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return outcomes;
}

/** Whoever asks gets an answer to a question put after he did; those who ask while one is under way share the next. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let now: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    next ??= now
      .catch(() => {})
      .then(() => {
        const answer = ask();
        now = answer;
        next = undefined;
        return answer;
      });
    return next;
  };
}

function ended({ domid }: DomainEntry, domains: readonly DomainEntry[]): string {
  const now = domains.find((domain) => domain.domid === domid);
  return now?.shutdownReason === undefined
    ? `Domain ${domid} has been destroyed\n`
    : `Domain ${domid} has been shut down, reason code ${now.shutdownReason}\n`;
}

const pause: Verb = {
  name: 'pause',
  summary: 'pause a domain',
  synopsis: '<Domain>',
  description: ['Its processors stop where they are; it keeps all that it has.'],
  choices: [],
  examples: [],
  words: [1, 1],
  kinds: ['domain'],
  run: async ({ words: [ref = ''] }, { toolstack }) => {
    await toolstack.pause(ref);
    return 0;
  },
};

const unpause: Verb = {
  name: 'unpause',
  summary: 'let a paused domain go on',
  synopsis: '<Domain>',
  description: ['It goes on where it was paused; one that was created paused starts.'],
  choices: [],
  examples: [],
  words: [1, 1],
  kinds: ['domain'],
  run: async ({ words: [ref = ''] }, { toolstack }) => {
    await toolstack.unpause(ref);
    return 0;
  },
};

const rename: Verb = {
  name: 'rename',
  summary: 'give a domain another name',
  synopsis: '<Domain> <NewDomainName>',
  description: ['No two domains have the same name.'],
  choices: [],
  examples: [['rename carol carol-old', 'Makes room for another carol.']],
  words: [2, 2],
  kinds: ['domain', 'free'],
  run: async ({ words: [ref = '', name = ''] }, session) => {
    try {
      await session.toolstack.rename(ref, name);
    } catch (error) {
      if (!(error instanceof Fault) || error.kind === 'no domain') throw error;
      session.err(`Can't rename domain '${ref}': ${printable(error.message)}\n`);
      return 1;
    }
    return 0;
  },
};

const sysrq: Verb = {
  name: 'sysrq',
  summary: "press a key of Linux's magic SysRq in a domain",
  synopsis: '<Domain> <letter>',
  description: ['Writes the letter to control/sysrq of the domain.'],
  choices: [],
  examples: [['sysrq g1 c', 'Crashes a Linux guest, to try on_crash.']],
  words: [2, 2],
  kinds: ['domain', 'free'],
  run: async ({ words: [ref = '', letter = ''] }, session) => {
    if (letter.length !== 1) {
      session.err('Invalid sysrq.\n');
      return 1;
    }
    await session.toolstack.sysrq(ref, letter);
    return 0;
  },
};

const gc: Verb = {
  name: 'gc',
  summary: 'clear what toolstacks that died left half done',
  synopsis: '[options]',
  description: [
    'Undoes the creation of domains whose maker is gone, and removes nodes of the store, processes and files of domains that are no more. ' +
      'The toolstack does the same when it starts. Prints a line for each thing that was cleared.',
  ],
  choices: [{ flags: '--json', text: 'For programs: an object with the lists removed and left.' }],
  examples: [],
  words: [0, 0],
  kinds: [],
  run: async ({ flags }, session) => {
    const { removed, left } = await session.toolstack.gc();
    if (flags.json) session.out(`${JSON.stringify({ removed, left }, undefined, 2)}\n`);
    else {
      for (const line of removed) session.out(`${printable(line)}\n`);
      for (const line of left) session.err(`stubdom0: ${printable(line)}\n`);
    }
    return left.length === 0 ? 0 : 1;
  },
};

export const lifeVerbs: readonly Verb[] = [destroy, shutdown, reboot, pause, unpause, rename, sysrq];
export const careVerbs: readonly Verb[] = [gc];
