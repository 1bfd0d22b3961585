/**
 * `stubdom0 up`: in the foreground until a signal, `stubdom0 down` or a part without which the host cannot be; or detached, by starting
 * itself again without a terminal. Exit code 0 after being asked to end, 1 otherwise.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { currentDirectory } from '../io/directory.ts';
import { Fault } from '../io/fault.ts';
import { Host } from '../io/host.ts';
import { hosts, readHostFile, shippedHost } from '../io/hostfile.ts';
import { RunDirectory } from '../io/rundir.ts';
import type { HostState } from '../io/state.ts';
import { autostart } from './autostart.ts';
import { simulation } from './simulation.ts';

export interface UpOptions {
  readonly run: string;
  /** The host file; undefined: the shipped one. */
  readonly host: string | undefined;
  readonly stay: 'foreground' | 'detached';
}

export async function up(options: UpOptions): Promise<number> {
  const here = currentDirectory();
  const file = readHostFile(options.host ?? shippedHost);
  if (options.stay === 'detached') return detach();

  // From the first moment on: whatever is done can be taken back.
  let end = (_: string | undefined): void => {};
  const ended = new Promise<string | undefined>((resolve) => {
    end = resolve;
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(undefined));
  // A terminal that went away must not keep us from taking the host down.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

  const run = await RunDirectory.claim(options.run);
  let broken: string | undefined;
  const print = (text: string): void => console.log(`stubdom0: ${text}`);
  try {
    const host = new Host(file, run, simulation, {
      print,
      broken: (reason) => end(reason),
      down: () => end(undefined),
      autostart: async (paths, toolstack, signal) => {
        const say = (text: string): void => print(text.trimEnd().replace(/^stubdom0: /, ''));
        await autostart(paths, { toolstack, signal, out: say, err: say });
      },
    });
    let coming = true;
    void ended.then(() => coming && host.interrupt());
    const isUp = await host.up();
    coming = false;
    if (isUp) console.log(welcome(host.state(), options.run, here));
    broken = await ended;
    if (isUp) {
      console.log('stubdom0: taking the host down');
      await host.down();
    }
  } finally {
    run.remove();
  }
  if (broken !== undefined) throw new Fault(broken);
  return 0;
}

/** `here`: where its reader is. */
function welcome(state: HostState, run: string, here: string): string {
  const { host, domains, processes, socket, url, ssh, uplink, webs } = state;
  const guests = domains.filter(({ role }) => role === 'guest');
  const width = Math.max(0, ...guests.map(({ name }) => name.length));
  const reached = uplink === undefined ? undefined : firstAddress(guests);
  const first = guests[0];
  const enter = `ssh -F ${run}/ssh/config stubdom0`;
  const lines = [
    `stubdom0: host ${host} is up: ${processes.length} processes, ${guests.length} guests`,
    ...(url === undefined ? [] : [`  admin  ${url}/#token=${token(run)}`]),
    ...(ssh === undefined
      ? []
      : [`  ssh    ${enter}   (or with a key of your own: ssh -p ${ssh.port} admin@localhost)`]),
    `  store  ${socket}`,
    ...(uplink === undefined ? [] : [`  net    ${uplink.name}, ${uplink.address}`]),
    ...webs.map(({ guest, url }) => `  web    ${url}, served by ${guest}`),
    `  logs   ${run}/logs`,
    ...guests.map(({ name, domid, devices }) =>
      `  guest  ${name.padEnd(width)}  domain ${domid}  ${devices.join(', ')}`.trimEnd(),
    ),
    '',
    'Try, in another shell:',
    `  export XENSTORED_PATH=${socket} STUBDOM0_RUN=${run}`,
    '  npx stubdom0 list                               # its domains, as xl list',
    `  truncate -s 16M carol.img && npx stubdom0 create ${relative(here, join(hosts, 'carol.cfg'))}`,
    ...(first === undefined ? [] : [`  npx stubdom0 console ${first.name.padEnd(26)} # Ctrl-] leaves`]),
    ...(ssh === undefined ? [] : [`  ${enter} list`]),
    '  npx stubdom0 status                             # its processes; kill -9 one of them',
    '  xenstore-ls -f                                  # or: npx xenstore ls -f',
    ...(reached === undefined ? [] : [`  ping ${reached}`]),
    ...webs.map(({ url }) => `  curl ${url}`),
    ...(webs.length === 0 ? [] : ["  npx xensock list                                # guests' sockets"]),
    ...(url === undefined
      ? []
      : [`  curl -H "Authorization: Bearer $(cat ${run}/admin.token)" "${url}/v1/tree?path=/local/domain"`]),
    '',
    'Ctrl-C takes it down.',
  ];
  return lines.join('\n');
}

function token(run: string): string {
  return readFileSync(join(run, 'admin.token'), 'utf8').trim();
}

function firstAddress(guests: HostState['domains']): string | undefined {
  const devices = guests.flatMap((guest) => guest.devices);
  return devices.map((text) => /^vif\d+ ([\d.]+)\//.exec(text)?.[1]).find((address) => address !== undefined);
}

/** Starts the same command without `--detach`, and passes on what it says until it is up. */
function detach(): Promise<number> {
  const child = spawn(
    process.execPath,
    process.argv.slice(1).filter((word) => word !== '--detach'),
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('Ctrl-C')) {
        console.log('"stubdom0 down" takes it down.');
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
        resolve(0);
      } else {
        console.log(line);
      }
    });
    child.stderr.pipe(process.stderr);
    child.once('close', (code) => resolve(code ?? 1));
  });
}
