/** `create`: from a cfg file to a running domain, and what would be done for it. */

import { configJson } from '../../core/cfgjson.ts';
import type { DomainConfig } from '../../core/config.ts';
import { devicesIn } from '../../core/deviceset.ts';
import type { CreateOrder, DeviceEntry, PlannedStep, Progress } from '../../core/toolstack.ts';
import { Fault } from '../../io/fault.ts';
import { readConfig } from '../cfg.ts';
import { joinConsole } from '../console.ts';
import { domainsOf, find } from '../domains.ts';
import type { Session } from '../session.ts';
import { printable, xlJson } from '../tables.ts';
import type { Given, Verb } from '../verb.ts';

/** libxl's ERROR_FAIL and ERROR_INVAL, as exit codes of `xl create`. */
const FAILED = 3;
const INVALID = 6;

export const create: Verb = {
  name: 'create',
  summary: 'create a domain from a cfg file',
  synopsis: '<ConfigFile> [options] [key=value ...]',
  description: [
    'Reads what the domain is to be from a file of xl.cfg(5) (- is standard input), makes it, and starts it. Paths in the file are from the directory ' +
      'where the command is given. Each key=value is a further line of the file; a plain word as a value needs no quotes.',
    'A creation is a list of steps, each of which can be taken back. If one fails, or the command is interrupted, those that were done are taken back ' +
      'and nothing is left.',
    'What becomes of the domain when it ends (on_poweroff, on_reboot, on_crash) the toolstack sees to; no process is left behind for it.',
  ],
  choices: [
    { flags: '-c', text: "Joins the domain's console; Ctrl-] leaves it." },
    { flags: '-d', text: 'Shows the resulting configuration as JSON on standard error, and goes on.' },
    { flags: '-e', text: "xl's: no process waits for the domain's end. Accepted; none ever does." },
    { flags: '-F', text: 'Comes back when the domain has ended.' },
    { flags: '-f, --defconfig <FILE>', text: 'The cfg file.' },
    {
      flags: '-n, --dryrun',
      text: "Shows the resulting configuration as JSON in libxl's names, as xl does, and does nothing.",
    },
    {
      flags: '--dry-run',
      text: 'Shows the steps that would be taken, and how each would be taken back, and does nothing.',
    },
    { flags: '-p', text: 'Leaves the domain paused.' },
    { flags: '-q, --quiet', text: 'Says nothing but what is wrong.' },
    { flags: '--json', text: 'For programs: {"domid", "name"}, or with --dry-run the list of steps.' },
  ],
  examples: [
    ['create toolstack/hosts/carol.cfg', 'A guest with a disk and a network interface.'],
    ['create carol.cfg name=carol2 memory=8', 'Another one, a little different.'],
    ['create carol.cfg --dry-run', 'What would be done.'],
  ],
  exits: [
    [FAILED, 'the file could not be read, or the domain not be made'],
    [INVALID, 'there is no cfg file among the words'],
  ],
  words: [0, 100],
  kinds: ['file'],
  dry: true,
  run,
};

async function run(given: Given, session: Session): Promise<number> {
  const { flags } = given;
  const extra = given.words.filter((word) => word.includes('=')).map(quoted);
  const files = [flags.defconfig, ...given.words.filter((word) => !word.includes('='))].filter(
    (file): file is string => typeof file === 'string',
  );
  const [file] = files;
  if (file === undefined) {
    session.err('Config file not specified\n');
    return INVALID;
  }
  if (files.length > 1) throw new Fault(`create: one cfg file, not ${files.length}`, { kind: 'usage' });
  const read = await readConfig(session, file, { extra, quiet: flags.quiet === true });
  if (read === undefined) return 1;
  const { config } = read;
  const shown = `${xlJson(configJson(config))}\n`;
  if (flags.dryrun) {
    session.out(shown);
    return 0;
  }
  if (flags.d) session.err(shown);
  const order: CreateOrder = { ...read, start: flags.p ? 'paused' : 'running' };
  if (flags.dryRun) {
    const steps = await session.toolstack.plan(order);
    session.out(flags.json ? `${JSON.stringify(steps, undefined, 2)}\n` : planText(steps));
    return 0;
  }
  const domid = await make(order, given, session);
  if (!flags.quiet && order.start === 'running') await warnOfDevices(session, config, domid);
  if (flags.json) session.out(`${JSON.stringify({ domid, name: config.name })}\n`);
  if (flags.c) return await joinConsole(session, String(domid), { type: 'pv', number: 0 });
  if (flags.F) await untilGone(session, config, domid);
  return 0;
}

/** `name=carol`: at a shell, quotes within quotes are a nuisance. */
function quoted(line: string): string {
  return line.replace(/^(\s*\w+\s*\+?=\s*)([A-Za-z_./][^"'[\];,\n]*)$/, '$1"$2"');
}

async function make(order: CreateOrder, { flags, verbose }: Given, session: Session): Promise<number> {
  const told = !flags.quiet && (verbose || session.terminal !== undefined);
  try {
    return await session.toolstack.create(
      order,
      (progress) => {
        if (told) session.err(progressLine(progress));
      },
      session.signal,
    );
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.message, { exitCode: error.exitCode === 1 ? FAILED : error.exitCode });
  }
}

/** A line a step; that one is done, the next line tells. */
function progressLine({ step, how }: Progress): string {
  switch (how) {
    case 'begun':
      return `  ${step}\n`;
    case 'failed':
      return `  failed: ${step}\n`;
    case 'undone':
      return `  taken back: ${step}\n`;
    case 'done':
      return '';
  }
}

function planText(steps: readonly PlannedStep[]): string {
  const width = Math.max(4, ...steps.map(({ step }) => step.length));
  const row = (number: string, step: string, undo: string): string =>
    `${number.padStart(3)}  ${step.padEnd(width)}  ${undo}`.trimEnd();
  return [
    row('', 'STEP', 'TAKEN BACK BY'),
    ...steps.map(({ step, undo }, index) => row(String(index + 1), step, undo ?? '-')),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

const DEVICES_MS = 1_000;
const DEVICES_LOOK_MS = 100;
/** XenbusStateConnected. */
const CONNECTED = 4;

/**
 * A domain is there when its backends have taken its devices on; that one cannot be used after all, its guest finds out. Until all are connected, or
 * somebody has something against each that is not; a second at most, since guests take as long as they like. One of xl's always takes longer.
 */
async function warnOfDevices(session: Session, config: DomainConfig, domid: number): Promise<void> {
  const kinds = [...new Set(devicesIn(config).map(({ kind }) => kind))];
  if (kinds.length === 0 || session.toolstack.reader === 'xl') return;
  const told = new Set<string>();
  for (let waitedMs = 0; waitedMs <= DEVICES_MS && !session.signal.aborted; waitedMs += DEVICES_LOOK_MS) {
    if (waitedMs > 0) await new Promise((resolve) => setTimeout(resolve, DEVICES_LOOK_MS));
    let devices: DeviceEntry[];
    try {
      devices = (
        await Promise.all(kinds.map((kind) => session.toolstack.devices(String(domid), kind)))
      ).flat();
    } catch (error) {
      // It has ended meanwhile.
      if (error instanceof Fault) return;
      throw error;
    }
    for (const { name, error } of devices) {
      if (error === undefined || told.has(name)) continue;
      told.add(name);
      session.err(`stubdom0: ${name}: ${printable(error)}\n`);
    }
    const open = devices.filter(
      ({ name, frontendState, backendState }) =>
        !told.has(name) && (frontendState !== CONNECTED || backendState !== CONNECTED),
    );
    if (open.length === 0) return;
  }
}

const LOOK_MS = 500;

/** A domain that is made anew has another number: it is the name that is waited for, until it shut down or is no more. */
async function untilGone(session: Session, { name }: DomainConfig, domid: number): Promise<void> {
  for (;;) {
    const now = find(await domainsOf(session), name);
    if (now === undefined || (now.domid === domid && now.shutdownReason !== undefined)) return;
    if (session.signal.aborted) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
