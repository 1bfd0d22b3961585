/**
 * The differences between our store and the C daemons that are meant; xenstored/README.md says why. Whatever is not in here is a mistake,
 * ours or this list's. Some depend on what happened before, so a ledger goes along with a run.
 */
import type { Ask, Step } from './fuzz-steps.ts';

export type Kind = 'c417' | 'chead';

export type Verdict =
  | 'equal'
  /** Meant; both stores are in the same state. */
  | 'known'
  | 'different'
  /** Meant (the text says what), and from here on the two stores may differ. */
  | { readonly parted: string };

const changing: ReadonlySet<string> = new Set(['WRITE', 'MKDIR', 'RM', 'SET_PERMS', 'RELEASE', 'INTRODUCE']);
const reading: ReadonlySet<string> = new Set(['READ', 'DIRECTORY', 'DIRECTORY_PART', 'GET_PERMS']);

const TARGETS = "C keeps a target's record beyond its end";
const SNAPSHOTS = 'transactions see the store as it was, and conflict by what they depended on';

export class Ledger {
  readonly #kind: Kind;
  /** Open transactions that others' changes have met, or not yet: `client:id`. */
  readonly #open = new Map<string, { met: boolean; changes: boolean }>();
  readonly #started = new Map<string, number>();
  readonly #targets = new Set<string>();
  #restarted = false;

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  /** Judges what one client heard of a step. */
  judge(step: Step, ours: readonly string[], peer: readonly string[]): Verdict {
    if (ours.join('\n') === peer.join('\n')) return 'equal';
    if (this.#endsTarget(step)) return { parted: TARGETS };
    // After its restart a client may be told something once more.
    if ('restart' in step) return ours.every(isEvent) && peer.every(isEvent) ? 'known' : 'different';
    // A restart takes notice of every domain anew: what had been told, or would have been, may be told at another time.
    if (
      'host' in step &&
      this.#restarted &&
      [...ours, ...peer].every((text) => /^EVENT @releaseDomain/.test(text))
    )
      return 'known';
    // 4.17 looks at all domains each time, and reports every shutdown again after any RESUME. A machine may let a domain die in one step
    // or in several, each of them news.
    if ('host' in step) return this.#kind === 'c417' || sameButMerged(ours, peer) ? 'known' : 'different';
    // Of several equal events that wait, each daemon merges as many as happen to.
    if ('batch' in step) {
      const met = step.batch.some(({ who, tx }) => this.#open.get(`${who}:${tx}`)?.met);
      return met || sameButMerged(ours, peer) ? 'known' : 'different';
    }
    if (step.op === 'INTRODUCE' && /\|-\d+\|$/.test(step.payload))
      return { parted: 'a negative port is refused' };
    if (
      this.#kind === 'c417' &&
      ours.length === peer.length &&
      ours.every((text, i) => older(step, text, peer[i]!))
    )
      return 'known';
    const transaction = this.#open.get(`${step.who}:${step.tx}`);
    if (!transaction?.met) return 'different';
    if (reading.has(step.op)) return 'known';
    return { parted: SNAPSHOTS };
  }

  /** Takes note of what happened. `reply`: ours. Answers why the run had better end here, if so. */
  note(step: Step, reply: string): string | undefined {
    if ('host' in step) {
      if (step.host === 'kill') return this.#ended(step);
      return undefined;
    }
    if ('restart' in step) {
      this.#restarted = true;
      this.#open.clear();
      return undefined;
    }
    if ('batch' in step) {
      for (const each of step.batch) {
        const parted = this.note(each, '');
        if (parted) return parted;
      }
      return undefined;
    }
    const key = `${step.who}:${step.tx}`;
    if (step.op === 'TRANSACTION_START' && !reply.startsWith('!')) {
      const count = (this.#started.get(step.who) ?? 0) + 1;
      this.#started.set(step.who, count);
      this.#open.set(`${step.who}:${count}`, { met: false, changes: false });
    }
    if (reply.startsWith('!')) return undefined;
    if (step.op === 'TRANSACTION_END') {
      const ended = this.#open.get(key);
      this.#open.delete(key);
      if (ended?.changes) this.#met(key);
      // Both may have committed, each what it saw.
      if (ended?.changes && ended.met && step.payload.startsWith('T')) return SNAPSHOTS;
    }
    if (changing.has(step.op)) {
      const transaction = this.#open.get(key);
      if (transaction) transaction.changes = true;
      else this.#met(key);
    }
    const [first = '', second = ''] = step.payload.split('|');
    if (step.op === 'SET_TARGET') this.#targets.add(String(Number(second)));
    if (step.op === 'RELEASE') return this.#ended(step);
    if (step.op === 'SET_PERMS' && /^(@.*|\/)$/.test(first) && !/^.0/.test(second))
      return 'C loses the root with its owner, and ends with the owner of a special node';
    return undefined;
  }

  #ended(step: Step): string | undefined {
    this.#met('');
    return this.#endsTarget(step) ? TARGETS : undefined;
  }

  #endsTarget(step: Step): boolean {
    if ('host' in step) return step.host === 'kill' && this.#targets.has(String(step.domid));
    return (
      'op' in step && step.op === 'RELEASE' && this.#targets.has(String(Number.parseInt(step.payload, 10)))
    );
  }

  #met(key: string): void {
    for (const [other, transaction] of this.#open) if (other !== key) transaction.met = true;
  }
}

/** The same replies in the same order, and the same events, each any number of times. */
function sameButMerged(ours: readonly string[], peer: readonly string[]): boolean {
  const [mine, theirs] = [ours, peer].map((texts) => ({
    replies: texts
      .filter((text) => !isEvent(text))
      .map((text) => text.replace(/^DIRECTORY_PART \d+/, ''))
      .join('\n'),
    events: [...new Set(texts.filter(isEvent))].sort().join('\n'),
  }));
  return mine!.replies === theirs!.replies && mine!.events === theirs!.events;
}

/** What 4.17 answers where later versions, and ours, answer something else. */
function older(step: Ask, ours: string, theirs: string): boolean {
  if (ours === theirs) return true;
  // Some malformed payloads were answered with whatever errno was left over.
  if (ours.startsWith('!EINVAL') && theirs.startsWith('!')) return true;
  const [first = ''] = step.payload.split('|');
  if (first.startsWith('@') && /PERMS/.test(step.op)) return true;
  return step.op === 'CONTROL';
}

/** What cannot be equal is taken out on both sides: generations, figures of memory, and orders that nobody can rely on. */
export function normal(step: Step | undefined, heard: readonly string[] = []): string[] {
  const op = step && 'op' in step ? step.op : undefined;
  const texts = heard.map((text) => {
    if (op === 'TRANSACTION_START') return text.replace(/^TRANSACTION_START \d+/, 'TRANSACTION_START');
    if (op === 'DIRECTORY_PART') return text.replace(/^DIRECTORY_PART \d+/, 'DIRECTORY_PART');
    return text.startsWith('CONTROL Domain') ? counts(text) : text;
  });
  // C lets go of a connection later, after the reply, if that is the one its loop will serve next.
  return op === 'RELEASE' ? [...texts.filter(isEvent), ...texts.filter((text) => !isEvent(text))] : texts;
}

function isEvent(text: string): boolean {
  return text.startsWith('EVENT ');
}

/** `nodes : 3 (max 4)` and its like, without the maximum. */
function counts(text: string): string {
  const lines = text.split('\n').filter((line) => /^(nodes|watches|transactions) /.test(line));
  return lines
    .map((line) =>
      line
        .replace(/\(max.*\)/, '')
        .replaceAll(/ +/g, ' ')
        .trim(),
    )
    .join(', ');
}
