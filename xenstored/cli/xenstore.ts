/**
 * The commands `xenstore` and `xenstore-<mode>`, from arguments to an exit status, with everything that they touch handed in. Follows
 * tools/xs-clients/xenstore_client.c of today's Xen; `control` is a mode, too.
 */
import { XenstoreError } from '../client/error.ts';
import type { Client, Transaction } from '../client/store.ts';
import { ls } from './ls.ts';
import { isMode, readArguments, usageOfAll, type Wanted } from './modes.ts';
import { inTransaction, type NodeMode, type Outcome, perform } from './nodes.ts';
import { Exit, fail, failWith, type Program, shortName } from './program.ts';

/** The exit status. `program.word` and the mode are found here: give all the arguments, and no word. */
export async function xenstore(program: Program): Promise<number> {
  try {
    return await run(program);
  } catch (error) {
    if (error instanceof Exit) return error.status;
    throw error;
  }
}

async function run(program: Program): Promise<number> {
  const linked = /^xenstore-(.*)$/s.exec(shortName(program))?.[1];
  const [first, ...rest] = program.args;
  if (linked === undefined && first === undefined) throw usageOfAll(program);
  const mode = linked ?? first ?? '';
  const inner: Program = linked === undefined ? { ...program, word: first, args: rest } : program;
  if (mode === 'control') return await (await import('./control.ts')).control(inner);
  if (!isMode(mode)) throw fail(program, `unknown mode ${mode}\n`);
  const wanted = readArguments(inner, mode);
  if (mode === 'watch') {
    const { watch } = await import('./watch.ts');
    await watch({ ...inner, openSession: (user) => orNot(inner, inner.openSession(user)) }, wanted);
    return 0;
  }
  const client = await orNot(inner, inner.connect());
  try {
    if (mode !== 'ls') return await onNodes(inner, client, mode, wanted);
    await ls(inner, client, wanted);
    return 0;
  } finally {
    await client.close();
  }
}

function orNot<T>(program: Program, opening: Promise<T>): Promise<T> {
  return opening.catch((error) => {
    throw failWith(program, 'xs_open', error);
  });
}

async function onNodes(program: Program, client: Client, mode: NodeMode, wanted: Wanted): Promise<number> {
  const { status, output } = inTransaction(wanted)
    ? await transaction(program, client, (tx) => perform(program, tx, mode, wanted))
    : await perform(program, client, mode, wanted);
  if (output !== '') program.out(output);
  return status;
}

/** A transaction to give up though nothing was thrown: something was refused, and what came before it still counts for the output. */
class GivenUp extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super('given up');
    this.outcome = outcome;
  }
}

async function transaction(
  program: Program,
  client: Client,
  body: (tx: Transaction) => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return await client.transaction(
      async (tx) => {
        const outcome = await body(tx);
        if (outcome.status !== 0) throw new GivenUp(outcome);
        return outcome;
      },
      { retries: Number.POSITIVE_INFINITY },
    );
  } catch (error) {
    if (error instanceof GivenUp) return error.outcome;
    if (!(error instanceof XenstoreError)) throw error;
    throw fail(
      program,
      error.op === 'TRANSACTION_START' ? "couldn't start transaction" : "couldn't end transaction",
    );
  }
}
