/**
 * `xenstore control` and `xenstore-control`: a command for the daemon itself, and the conversation of a live update, with the words and exit
 * codes of Xen's client (tools/xs-clients/xenstore_control.c). Its arguments are the daemon's affair: nothing here is an option.
 */
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { XenstoreError } from '../client/error.ts';
import type { Client } from '../client/store.ts';
import { atoi } from '../wire/request.ts';
import { fromText, toBytes } from './bytes.ts';
import { Exit, type Program } from './program.ts';
import { errorNumber, errorText } from './strerror.ts';

/** Bytes of a new stub domain's image in one message. */
const CHUNK_BYTES = 2048;
const DEFAULT_TIMEOUT_S = 60;
const BUSY_PAUSE_MS = 1_000;

/** Answers the exit status: 0, 1 no connection, 2 usage, 3 refused. */
export async function control(program: Program): Promise<number> {
  const [command, ...args] = program.args;
  if (command === undefined) {
    const word = program.word === undefined ? '' : ` ${program.word}`;
    program.err(`Usage:\n${program.argv0}${word} <command> [<arg>...]\n`);
    return 2;
  }
  let client: Client;
  try {
    client = await program.connect();
  } catch (error) {
    if (!(error instanceof XenstoreError)) throw error;
    program.err('Failed to contact Xenstored.\n');
    return 1;
  }
  try {
    if (command === 'live-update') return await new LiveUpdate(program, client).run(args);
    return await plain(program, client, command, args);
  } catch (error) {
    if (error instanceof Exit) return error.status;
    throw error;
  } finally {
    await client.close();
  }
}

async function plain(
  program: Program,
  client: Client,
  command: string,
  args: readonly string[],
): Promise<number> {
  try {
    const text = await client.control(command, ...args.map(toBytes));
    if (text !== '') program.out(`${fromText(text)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof XenstoreError)) throw error;
    if (error.code === 'EINVAL') await help(program, client);
    else program.err(`Error ${errorNumber(error.code)} when trying to execute command.\n`);
    return 3;
  }
}

async function help(program: Program, client: Client): Promise<void> {
  try {
    const text = fromText(await client.control('help'));
    program.err(`Command not supported. Valid commands are:\n${text}\n`);
  } catch {
    program.err('Error when executing command.\n');
  }
}

interface Update {
  readonly binary: string;
  readonly cmdline: string | undefined;
  readonly timeoutS: number;
  readonly force: boolean;
  readonly version: number;
}

class LiveUpdate {
  readonly #program: Program;
  readonly #client: Client;

  constructor(program: Program, client: Client) {
    this.#program = program;
    this.#client = client;
  }

  async run(args: readonly string[]): Promise<number> {
    const update = this.#read(args);
    const stubdom = await this.#client.exists('/tool/xenstored/domid');
    if (stubdom) await this.#withAbort(() => this.#sendImage(update.binary));
    else await this.#need('Setting update binary failed', '-f', toBytes(update.binary));
    const { cmdline } = update;
    await this.#withAbort(async () => {
      if (cmdline !== undefined) await this.#need('Setting update binary failed', '-c', toBytes(cmdline));
      await this.#start(update);
    });
    return 0;
  }

  /** Its own little grammar: the last word that is no option is the file. */
  #read(args: readonly string[]): Update {
    let [binary, cmdline]: (string | undefined)[] = [];
    let timeoutS = DEFAULT_TIMEOUT_S;
    let version = 0;
    let force = false;
    const words = args.values();
    const value = (what: string): string => {
      const next = words.next();
      if (next.done) throw this.#usage(`Missing ${what} value`);
      return next.value;
    };
    for (const word of words) {
      if (word === '-c') cmdline = value('command line');
      else if (word === '-t') timeoutS = atoi(value('timeout')) >>> 0;
      else if (word === '-v') version = atoi(value('version')) >>> 0;
      else if (word === '-F') force = true;
      else binary = word;
    }
    if (binary === undefined) throw this.#usage('Missing binary specification');
    return { binary, cmdline, timeoutS, force, version };
  }

  /** Asks again each second while the daemon is busy, as long as the update itself may take. */
  async #start({ timeoutS, force, version }: Update): Promise<void> {
    const words = ['-s', '-t', String(timeoutS)];
    if (force) words.push('-F');
    if (version !== 0) words.push('-v', String(version));
    let answer = 'BUSY';
    const end = performance.now() + timeoutS * 1_000;
    while (answer === 'BUSY' && performance.now() < end) {
      answer = await this.#ask(...words);
      if (answer === 'BUSY') await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS));
    }
    if (answer !== 'OK') throw this.#refused('Starting live update failed', answer);
  }

  async #sendImage(path: string): Promise<void> {
    const file = await readFile(toBytes(path)).catch(() => {
      throw new Exit(1);
    });
    const image = file[0] === 0x1f && file[1] === 0x8b ? gunzipSync(file) : file;
    await this.#need('Starting live update failed', '-b', String(image.length));
    for (let at = 0; at < image.length; at += CHUNK_BYTES) {
      const chunk = image.subarray(at, at + CHUNK_BYTES);
      await this.#need('Transfer of new binary failed', '-d', String(chunk.length), chunk);
    }
  }

  async #need(failure: string, ...words: (string | Uint8Array)[]): Promise<void> {
    const answer = await this.#ask(...words);
    if (answer !== 'OK') throw this.#refused(failure, answer);
  }

  /** The daemon's text; an error's text is as good. */
  async #ask(...words: (string | Uint8Array)[]): Promise<string> {
    try {
      return await this.#client.control('live-update', ...words);
    } catch (error) {
      if (!(error instanceof XenstoreError)) throw error;
      return errorText(error.code);
    }
  }

  async #withAbort(steps: () => Promise<void>): Promise<void> {
    try {
      await steps();
    } catch (error) {
      await this.#ask('-a');
      throw error;
    }
  }

  #refused(failure: string, answer: string): Exit {
    this.#program.err(`${failure}:\n${fromText(answer)}\n`);
    return new Exit(3);
  }

  #usage(text: string): Exit {
    this.#program.err(`${text}\n`);
    return new Exit(2);
  }
}
