#!/usr/bin/env node
/**
 * xenstore, also under the names `xenstore-read` and so on: ties the commands to this process. Loads no more than a command needs: the time that it
 * takes is that of starting Node.
 */
import { readFileSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isatty } from 'node:tty';
import { byEnvironment } from '../client/address.ts';
import { connect } from '../client/connect.ts';
import { Session } from '../client/session.ts';
import { fromText, toBytes } from './bytes.ts';
import { xenstore } from './xenstore.ts';

/** What a shell reports of a program that a closed pipe ended. */
const ENDED_BY_SIGPIPE = 141;
const FULL_PIPE_PAUSE_MS = 5;

/** Node's arguments are text, and what was no UTF-8 is lost in them; the kernel still has the bytes. */
function rawArguments(): string[] {
  const args = process.argv.slice(2);
  if (!args.some((arg) => arg.includes('\ufffd'))) return args.map(fromText);
  return readFileSync('/proc/self/cmdline', 'latin1')
    .split('\0')
    .slice(-args.length - 1, -1);
}

/** The command as it was typed, as far as that can be told: a name found through PATH has lost its folder. */
function typedName(): string {
  const script = process.argv[1] ?? '';
  const name = basename(script);
  if (!/^xenstore/.test(name)) return 'xenstore';
  return (process.env.PATH ?? '').split(':').includes(dirname(script)) ? name : fromText(script);
}

// Written at once and whole, so that nothing is lost at the end; a reader that is gone ends us quietly.
function writer(fd: number): (text: string) => void {
  return (text) => {
    for (let rest = toBytes(text); rest.length > 0; ) {
      try {
        rest = rest.subarray(writeSync(fd, rest));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EPIPE') process.exit(ENDED_BY_SIGPIPE);
        if (code !== 'EAGAIN') throw error;
        // Somebody else made it non-blocking, and its reader is slow.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_PAUSE_MS);
      }
    }
  };
}

process.exitCode = await xenstore({
  argv0: typedName(),
  args: rawArguments(),
  word: undefined,
  out: writer(1),
  err: writer(2),
  // Asked of a terminal alone: Node's stream would make a pipe non-blocking.
  columns: isatty(1) ? process.stdout.columns : undefined,
  connect: () => connect({ lost: 'end' }),
  openSession: (user) => Session.open(byEnvironment(process.env), user),
});
