/** Commands for the devices of domains: disks, network interfaces and sockets, each attached, listed and detached. */
import { resolve } from 'node:path';
import { type Parsed, parseSockets, parseVif } from '../../core/cfgdevices.ts';
import { parseDisk } from '../../core/cfgdisk.ts';
import { deviceJson } from '../../core/cfgjson.ts';
import { resolvedDevice } from '../../core/cfgpaths.ts';
import type { DeviceConfig } from '../../core/config.ts';
import type { DeviceEntry } from '../../core/toolstack.ts';
import { Fault } from '../../io/fault.ts';
import { invalid } from '../domains.ts';
import { blockTable, networkTable, socketsTable, xlJson } from '../tables.ts';
import { json, type Verb } from '../verb.ts';

interface Kind {
  readonly kind: DeviceConfig['kind'];
  /** Of its commands: `block`. */
  readonly word: string;
  /** `disk`, for people. */
  readonly thing: string;
  /** What `block-attach` takes. */
  readonly spec: string;
  readonly specText: string;
  /** Words that a specification takes at least. */
  readonly least: number;
  readonly named: string;
  readonly namedText: string;
  parse(words: readonly string[]): Parsed<DeviceConfig>;
  table(devices: readonly DeviceEntry[]): string;
  /** What xl says where there is none. */
  missing(device: string): string;
  readonly example: readonly [string, string];
}

const kinds: readonly Kind[] = [
  {
    kind: 'vbd',
    word: 'block',
    thing: 'disk',
    spec: '<disk-spec-component(s)>...',
    specText:
      'The disk is given as in the disk= list of a cfg file (xl-disk-configuration(5)), as one word or each part as a word: a file or block device, ' +
      'its format, what the guest calls it, r or w; or key=value.',
    least: 1,
    named: '<DevId>',
    namedText: 'The disk is given by what the guest calls it (xvdb) or by its number (51728).',
    parse: parseDisk,
    table: blockTable,
    missing: (device) => `Error: Device ${device} not connected.`,
    example: ['carol /srv/more.img,raw,xvdb,w', 'Gives carol a second disk.'],
  },
  {
    kind: 'vif',
    word: 'network',
    thing: 'network interface',
    spec: '[mac=<mac>] [bridge=<bridge>] [ip=<ip>] [script=<script>] [backend=<Domain>] [rate=<rate>] [mtu=<mtu>] ...',
    specText:
      'The interface is given as in the vif= list of a cfg file (xl-network-configuration(5)), each part as a word.',
    least: 0,
    named: '<DevId|mac>',
    namedText: 'The interface is given by its number or its address.',
    parse: parseVif,
    table: networkTable,
    missing: (device) => `Unknown device ${device}.`,
    example: ['carol mac=00:16:3e:00:00:09', 'Gives carol another interface.'],
  },
  {
    kind: 'pvcalls',
    word: 'sockets',
    thing: 'sockets device',
    spec: '[backend=<Domain>]',
    specText: 'Sockets of another domain (PV Calls); backend= names the domain that carries them out.',
    least: 0,
    named: '<DevId>',
    namedText: 'The device is given by its number.',
    parse: parseSockets,
    table: socketsTable,
    missing: (device) => `Unknown device ${device}.`,
    example: ['carol', "Gives carol sockets of the host's xensock."],
  },
];

function attach(kind: Kind): Verb {
  const { word, thing, spec, specText, least, example } = kind;
  return {
    name: `${word}-attach`,
    summary: `give a domain a ${thing}`,
    synopsis: `<Domain> ${spec}`,
    description: [
      specText,
      'Comes back when whoever serves it has taken it on; whether the guest has, the list tells.',
    ],
    choices: [json],
    examples: [[`${word}-attach ${example[0]}`, example[1]]],
    words: [1 + least, 40],
    kinds: ['domain', 'file'],
    dry: true,
    run: async ({ words: [ref = '', ...words], flags }, session) => {
      const parsed = kind.parse(words);
      if (!parsed.ok) throw new Fault(parsed.error);
      for (const ignored of parsed.ignored) session.err(`stubdom0: ${ignored} is ignored\n`);
      const device = resolvedDevice(parsed.value, (path) => resolve(session.directory, path));
      if (flags.dryrun) {
        session.out(`${kind.thing === 'disk' ? 'disk' : kind.kind}: ${xlJson(deviceJson(device))}\n`);
        return 0;
      }
      const made = await session.toolstack.attach(ref, device);
      if (flags.json) session.out(`${JSON.stringify(made, undefined, 2)}\n`);
      return 0;
    },
  };
}

function detach({ kind, word, thing, named, namedText, missing }: Kind): Verb {
  return {
    name: `${word}-detach`,
    summary: `take a ${thing} away from a domain`,
    synopsis: `[options] <Domain> ${named}`,
    description: [namedText, 'Waits until the guest has let it go, for ten seconds at most.'],
    choices: [{ flags: '-f, --force', text: 'Does not wait for the guest.' }],
    examples: [],
    words: [2, 2],
    kinds: ['domain', kind],
    run: async ({ words: [ref = '', device = ''], flags }, session) => {
      try {
        await session.toolstack.detach(ref, kind, device, flags.force ? 'force' : 'orderly');
      } catch (error) {
        if (!(error instanceof Fault) || error.kind !== 'no device') throw error;
        session.err(`${missing(device)}\n`);
        return 1;
      }
      return 0;
    },
  };
}

function list({ kind, word, thing, table }: Kind): Verb {
  return {
    name: `${word}-list`,
    summary: `list the ${thing}s of domains`,
    synopsis: '[options] <Domain(s)>',
    description: [
      `Shows each ${thing}: its number, who serves it, the state of the guest's end (4 is connected), its event channel, the grant of its ring ` +
        '(-1: there is none yet), and where in the store its backend is.',
    ],
    choices: [{ ...json, text: 'For programs: JSON, with the state of the other end, too.' }],
    examples: [[`${word}-list carol`, "Carol's."]],
    words: [1, 100],
    kinds: ['domain'],
    run: async ({ words, flags }, session) => {
      const devices: DeviceEntry[] = [];
      let code = 0;
      for (const ref of words) {
        try {
          devices.push(...(await session.toolstack.devices(ref, kind)));
        } catch (error) {
          if (!(error instanceof Fault) || error.kind !== 'no domain') throw error;
          // xl goes on for disks, and calls that success.
          session.err(`${kind === 'vbd' ? `${ref} is an invalid domain identifier` : invalid(ref)}\n`);
          if (kind === 'vbd') continue;
          code = 1;
          break;
        }
      }
      session.out(flags.json ? `${JSON.stringify(devices, undefined, 2)}\n` : table(devices));
      for (const { name, error } of flags.json ? [] : devices)
        if (error !== undefined) session.err(`${name}: ${error}\n`);
      return code;
    },
  };
}

export const deviceVerbs: readonly Verb[] = kinds.flatMap((kind) => [attach(kind), list(kind), detach(kind)]);
