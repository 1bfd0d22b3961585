/**
 * `xenstore watch`: a line for every event, as it comes. It listens to the connection itself, since a client's watch folds events
 * that wait into one. What it prints is what Xen's client prints (tools/xs-clients/xenstore_client.c).
 */
import { XenstoreError } from '../client/error.ts';
import { readNumber, strings } from '../client/payload.ts';
import type { Session } from '../client/session.ts';
import { Feature } from '../wire/ops.ts';
import { fromText, toBytes } from './bytes.ts';
import type { Wanted } from './modes.ts';
import { fail, failWith, type Program } from './program.ts';

/** Ends after as many events as were asked for, or when the connection is lost. */
export async function watch(program: Program, { operands, number, depth }: Wanted): Promise<void> {
  let count = 0;
  let listening = false;
  // Events that come before the last watch is set are printed when it is: a failure prints none.
  const early: string[] = [];
  const { promise: ended, resolve: end, reject } = withResolvers();
  const print = (path: string): void => {
    if (number !== -1 && count >= number) return;
    count++;
    program.out(`${fromText(path)}\n`);
    if (count === number) end();
  };
  const session = await program.openSession({
    event: ({ path }) => (listening ? print(path) : early.push(path)),
    lost: () => reject(new XenstoreError('ECONNRESET', 'WATCH')),
  });
  // Lost while the watches are being set: the request itself tells.
  ended.catch(() => {});
  try {
    if (depth >= 0) await needDepth(program, session, operands[0] ?? '', depth);
    for (const path of operands) await set(program, session, path, depth);
    listening = true;
    for (const path of early) print(path);
    if (number === -1 || count < number) await ended;
  } catch (error) {
    throw failWith(program, 'xs_read_watch', error);
  } finally {
    session.close();
  }
}

async function set(program: Program, session: Session, path: string, depth: number): Promise<void> {
  const op = 'WATCH';
  const name = toBytes(path);
  // The path is the token, too: the same one twice is refused.
  const words = depth < 0 ? [name, name] : [name, name, String(depth)];
  try {
    await session.request(op, 0, strings({ op, path }, ...words), path);
  } catch (error) {
    throw unable(program, path, depth, error);
  }
}

/** An older server would not understand, and one between may not have been told to. */
async function needDepth(program: Program, session: Session, path: string, depth: number): Promise<void> {
  const op = 'GET_FEATURE';
  let features = 0;
  try {
    features = readNumber({ op }, await session.request(op, 0, Buffer.alloc(0)));
  } catch (error) {
    throw unable(program, path, depth, error);
  }
  if ((features & Feature.WATCH_DEPTH) === 0) throw unable(program, path, depth);
}

/** The empty line is Xen's. */
function unable(program: Program, path: string, depth: number, error?: unknown): Error {
  if (error !== undefined && !(error instanceof XenstoreError)) return error as Error;
  const how = depth < 0 ? '' : ` with depth ${depth}`;
  return fail(program, `Unable to add watch on ${path}${how}\n`);
}

function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
