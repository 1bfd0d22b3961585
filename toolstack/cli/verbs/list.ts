/** Commands that look: which domains there are, what they have used, and what the host is. */
import { uptime as machineUptime } from 'node:os';
import { configJson } from '../../core/cfgjson.ts';
import type { DomainEntry } from '../../core/toolstack.ts';
import { Fault } from '../../io/fault.ts';
import { domainsOf, find, invalid, isNumber } from '../domains.ts';
import type { Session } from '../session.ts';
import {
  domainTable,
  shortUptimes,
  stateLetters,
  type Uptime,
  uptimeTable,
  vcpuTable,
  vmTable,
  xlJson,
} from '../tables.ts';
import { json, type Verb } from '../verb.ts';

const MANY = 100;

const list: Verb = {
  name: 'list',
  summary: 'list information about all domains, or one',
  synopsis: '[options] [Domain]',
  description: [
    'Shows each domain: its memory in MiB, its virtual processors, its state and the processor time it has used. State is six letters: r running, ' +
      'b blocked (waiting for something), p paused, s shut down, then why it did (- by itself, r to reboot, s suspended, c crashed, w watchdog, ' +
      'S soft reset), d dying.',
    'A domain is given by its name or its number; 0 is the control domain.',
  ],
  choices: [
    { flags: '-l, --long', text: "All there is to say of each, as JSON in libxl's names." },
    { flags: '-v, --verbose', text: 'With uuids, reason codes and security labels.' },
    { flags: '-Z, --context', text: 'With security labels.' },
    { flags: '-c, --cpupool', text: 'With cpupools.' },
    { flags: '-n, --numa', text: 'With NUMA nodes.' },
    json,
  ],
  examples: [
    ['list', 'All domains.'],
    ['list -l carol', 'What carol was made of.'],
    [
      'list --json',
      'Objects with name, domid, uuid, memoryMb, maxmemMb, vcpus, state, shutdownReason, cpuTimeNs, role.',
    ],
  ],
  words: [0, MANY],
  kinds: ['domain'],
  run: async ({ words, flags }, session) => {
    const [ref, ...more] = words;
    // As xl has it, for this one command.
    if (more.length > 0) throw new Fault('list: one domain at most', { kind: 'usage', exitCode: 1 });
    const all = await domainsOf(session);
    const domains = ref === undefined ? all : [find(all, ref)].filter((one) => one !== undefined);
    if (ref !== undefined && domains.length === 0) {
      session.err(`${isNumber(ref) ? `Error: Domain '${ref}' does not exist.` : invalid(ref)}\n`);
      return 1;
    }
    if (flags.long)
      session.out(
        `${xlJson(domains.map((domain) => ({ domid: domain.domid, config: configOf(domain) })))}\n`,
      );
    else if (flags.json) session.out(asJson(domains.map(plain)));
    else
      session.out(
        domainTable(domains, {
          verbose: flags.verbose === true,
          context: flags.context === true,
          cpupool: flags.cpupool === true,
          numa: flags.numa === true,
        }),
      );
    return 0;
  },
};

/** Of one that this toolstack did not make, what can be seen. */
function configOf({ config, name, uuid, memoryMb, maxmemMb, vcpus, role }: DomainEntry): unknown {
  if (config !== undefined) return configJson({ ...config, name, uuid });
  const c_info = role === 'control' ? { type: 'pv', name } : { type: 'pv', name, uuid };
  return {
    c_info,
    b_info: { max_vcpus: vcpus, max_memkb: maxmemMb * 1024, target_memkb: memoryMb * 1024, 'type.pv': {} },
  };
}

function plain(domain: DomainEntry): unknown {
  const { name, domid, uuid, memoryMb, maxmemMb, vcpus, shutdownReason, cpuTimeNs, role } = domain;
  const state = stateLetters(domain);
  return {
    name,
    domid,
    uuid,
    memoryMb,
    maxmemMb,
    vcpus,
    state,
    shutdownReason: shutdownReason ?? null,
    cpuTimeNs,
    role,
  };
}

const vmList: Verb = {
  name: 'vm-list',
  summary: 'list uuids and names of domains',
  synopsis: '[options]',
  description: ['Shows uuid, number and name of each domain.'],
  choices: [json],
  examples: [],
  words: [0, 0],
  kinds: [],
  run: async ({ flags }, session) => {
    const domains = await domainsOf(session);
    session.out(
      flags.json ? asJson(domains.map(({ uuid, domid, name }) => ({ uuid, domid, name }))) : vmTable(domains),
    );
    return 0;
  },
};

const vcpuList: Verb = {
  name: 'vcpu-list',
  summary: 'list the virtual processors of all domains, or some',
  synopsis: '[options] [Domain ...]',
  description: [
    'Shows each virtual processor. On which processor of the machine it runs is not told (-), nor how long one of several has run; none is bound to any.',
  ],
  choices: [json],
  examples: [['vcpu-list carol', "Carol's."]],
  words: [0, MANY],
  kinds: ['domain'],
  run: async ({ words, flags }, session) => {
    const domains = await chosen(session, words);
    if (!flags.json) session.out(vcpuTable(domains));
    else
      session.out(
        asJson(
          domains.map(({ name, domid, vcpus, running, blocked, cpuTimeNs }) => ({
            name,
            domid,
            vcpus: Array.from({ length: vcpus }, (_, vcpu) => ({ vcpu, running, blocked })),
            cpuTimeNs,
          })),
        ),
      );
    return 0;
  },
};

const uptime: Verb = {
  name: 'uptime',
  summary: 'tell how long all domains, or some, have been up',
  synopsis: '[-s] [Domain ...]',
  description: [
    'Shows how long ago each domain was made. A service of the host itself of which that is not written down is left out.',
  ],
  choices: [{ flags: '-s', text: 'In short, with the time of day.' }, json],
  examples: [['uptime carol', "Carol's."]],
  words: [0, MANY],
  kinds: ['domain'],
  run: async ({ words, flags }, session) => {
    const rows: Uptime[] = [];
    for (const { name, domid, uuid } of await chosen(session, words)) {
      const started = domid === 0 ? Date.now() / 1000 - machineUptime() : await startOf(session, uuid);
      if (started !== undefined)
        rows.push({ name, domid, seconds: Math.max(0, Math.floor(Date.now() / 1000 - started)) });
    }
    if (flags.json) session.out(asJson(rows));
    else session.out(flags.s ? shortUptimes(rows, clock(new Date())) : uptimeTable(rows));
    return 0;
  },
};

/** Seconds since the epoch, as libxl writes it. */
async function startOf({ toolstack }: Session, uuid: string): Promise<number | undefined> {
  const text = await toolstack.readNode(`/vm/${uuid}/start_time`);
  return text !== undefined && /^\d+(\.\d*)?$/.test(text) ? Number(text) : undefined;
}

function clock(now: Date): string {
  return [now.getHours(), now.getMinutes(), now.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
}

async function chosen(session: Session, refs: readonly string[]): Promise<DomainEntry[]> {
  const all = await domainsOf(session);
  if (refs.length === 0) return all;
  return refs.map((ref) => {
    const found = find(all, ref);
    if (found === undefined) throw new Fault(invalid(ref), { kind: 'no domain' });
    return found;
  });
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

export const listVerbs: readonly Verb[] = [list, vmList, vcpuList, uptime];
