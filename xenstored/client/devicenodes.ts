/**
 * What both ends of a device do with its nodes: read a key, run a reader over a directory, write a state over another one. Follows
 * xenstored/xenbus/README.md. Knows neither end's rules.
 */
import type { Keys } from '../xenbus/backend-events.ts';
import { parseState, type XenbusState } from '../xenbus/state.ts';
import type { Checked, KeyReader } from '../xenbus/value.ts';
import { XenstoreError } from './error.ts';
import type { Client, Store } from './store.ts';

/** A node's text. One that may not be read counts as absent: a guest decides on that in its own directory. */
export async function findKey(store: Store, path: string): Promise<string | undefined> {
  try {
    return await store.findText(path);
  } catch (error) {
    if (error instanceof XenstoreError && error.code === 'EACCES') return undefined;
    throw error;
  }
}

export async function findState(store: Store, directory: string): Promise<XenbusState> {
  return parseState(await findKey(store, `${directory}/state`));
}

/** Runs a reader over a directory. Rejects with a `XenstoreError` for the store's own failures alone. */
export async function readDirectory<T>(
  store: Store,
  directory: string,
  reader: KeyReader<T>,
): Promise<Checked<T>> {
  let step = reader.next();
  while (step.done !== true) step = reader.next(await findKey(store, `${directory}/${step.value}`));
  return step.value;
}

/** The same, and a complaint is an `Error` of one line. */
export async function readChecked<T>(store: Store, directory: string, reader: KeyReader<T>): Promise<T> {
  const result = await readDirectory(store, directory, reader);
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

export interface StateChange {
  readonly from: XenbusState;
  readonly state: XenbusState;
  readonly keys: Keys;
}

/**
 * Writes a state and its keys over `from` alone, all or nothing. Answers what the node holds now: `state`, unless somebody was faster.
 * May be called again when its answer was lost (ECONNRESET).
 */
export function writeState(client: Client, directory: string, change: StateChange): Promise<XenbusState> {
  const { from, state, keys } = change;
  return client.transaction(async (tx) => {
    const there = await findState(tx, directory);
    if (there !== from) return there;
    await writeKeys(tx, directory, keys);
    await tx.write(`${directory}/state`, `${state}`);
    return state;
  });
}

/** Writes keys into a directory that is still there; `again`: and its state once more, if it is that, so that the other end looks. */
export async function writePublished(
  client: Client,
  directory: string,
  keys: Keys,
  again?: XenbusState,
): Promise<void> {
  await client.transaction(async (tx) => {
    const there = await findState(tx, directory);
    if (there === 0) return;
    await writeKeys(tx, directory, keys);
    if (there === again) await tx.write(`${directory}/state`, `${again}`);
  });
}

async function writeKeys(store: Store, directory: string, keys: Keys): Promise<void> {
  for (const [key, value] of Object.entries(keys)) await store.write(`${directory}/${key}`, value);
}

/** What somebody threw, in one line for an error node or a log. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/[^ -~]+/g, ' ').slice(0, 512);
}
