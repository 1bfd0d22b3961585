/**
 * A toolstack that is an object: domains in a list, each order written down. And a session whose output is text. For tests of commands and of SSH.
 */
import { Duplex } from 'node:stream';
import type { Role, Session } from '../../toolstack/cli/session.ts';
import type { DeviceConfig } from '../../toolstack/core/config.ts';
import type {
  CreateOrder,
  DeviceEntry,
  DomainEntry,
  HostInfo,
  PlannedStep,
  Progress,
  Swept,
} from '../../toolstack/core/toolstack.ts';
import { Fault } from '../../toolstack/io/fault.ts';
import type { Toolstack } from '../../toolstack/io/toolstack.ts';

export function domain(domid: number, name: string, more: Partial<DomainEntry> = {}): DomainEntry {
  return {
    domid,
    name,
    uuid: `00000000-0000-0000-0000-${String(domid).padStart(12, '0')}`,
    memoryMb: 192,
    maxmemMb: 192,
    vcpus: 1,
    running: false,
    blocked: true,
    paused: false,
    dying: false,
    shutdownReason: undefined,
    cpuTimeNs: 0,
    role: domid === 0 ? 'control' : 'guest',
    config: undefined,
    ...more,
  };
}

export class FakeToolstack implements Toolstack {
  domains: DomainEntry[] = [
    domain(0, 'Domain-0', { memoryMb: 1536, running: true, blocked: false, cpuTimeNs: 13.3e9 }),
  ];
  entries: DeviceEntry[] = [];
  fields: (readonly [string, string])[] = [];
  nodes: Map<string, string> = new Map();
  steps: PlannedStep[] = [];
  /** What the next creation ends with instead. */
  refusal: Fault | undefined;
  swept: Swept = { removed: [], left: [] };
  /** Orders as they came: `pause g1`. */
  readonly asked: string[] = [];
  readonly created: CreateOrder[] = [];

  async list(): Promise<DomainEntry[]> {
    return this.domains;
  }

  async info(): Promise<HostInfo> {
    return { host: 'test', fields: this.fields };
  }

  async plan(): Promise<PlannedStep[]> {
    return this.steps;
  }

  async create(order: CreateOrder, progress: (made: Progress) => void): Promise<number> {
    for (const { step } of this.steps) progress({ step, how: 'begun' });
    if (this.refusal !== undefined) throw this.refusal;
    this.created.push(order);
    const domid = Math.max(...this.domains.map((each) => each.domid)) + 1;
    this.domains.push(domain(domid, order.config.name, { config: order.config }));
    return domid;
  }

  async destroy(ref: string): Promise<void> {
    const gone = this.#find(ref);
    this.domains = this.domains.filter((each) => each !== gone);
    this.asked.push(`destroy ${ref}`);
  }

  async shutdown(ref: string, how: string, wait: string): Promise<void> {
    this.#find(ref);
    this.asked.push(`${how} ${ref} ${wait}`);
  }

  async pause(ref: string): Promise<void> {
    this.#note('pause', ref);
  }

  async unpause(ref: string): Promise<void> {
    this.#note('unpause', ref);
  }

  async rename(ref: string, name: string): Promise<void> {
    this.#note('rename', ref, name);
    if (this.domains.some((each) => each.name === name))
      throw new Fault(`domain with name "${name}" already exists`);
  }

  async sysrq(ref: string, letter: string): Promise<void> {
    this.#note('sysrq', ref, letter);
  }

  async devices(ref: string, kind: DeviceConfig['kind']): Promise<DeviceEntry[]> {
    const { domid } = this.#find(ref);
    return this.entries.filter((each) => each.domid === domid && each.kind === kind);
  }

  async attach(ref: string, device: DeviceConfig): Promise<DeviceEntry> {
    this.#note('attach', ref, JSON.stringify(device));
    return this.entries[0]!;
  }

  async detach(ref: string, kind: DeviceConfig['kind'], device: string, how: string): Promise<void> {
    const found = (await this.devices(ref, kind)).some((each) =>
      [each.name, String(each.devid), each.mac].includes(device),
    );
    if (!found) throw new Fault(`${ref} has no ${device}`, { kind: 'no device' });
    this.asked.push(`detach ${ref} ${kind} ${device} ${how}`);
  }

  async consoleNode(ref: string, type: string, number: number): Promise<string> {
    return `/local/domain/${this.#find(ref).domid}/${type}/${number}`;
  }

  async readNode(path: string): Promise<string | undefined> {
    return this.nodes.get(path);
  }

  async dmesg(clear: string): Promise<string> {
    return `(XEN) ${clear}\n`;
  }

  async gc(): Promise<Swept> {
    return this.swept;
  }

  async close(): Promise<void> {}

  #note(what: string, ref: string, ...more: string[]): void {
    this.#find(ref);
    this.asked.push([what, ref, ...more].join(' '));
  }

  #find(ref: string): DomainEntry {
    const found = this.domains.find(({ name, domid }) => name === ref || String(domid) === ref);
    if (found === undefined) throw new Fault(`no domain ${ref}`, { kind: 'no domain' });
    return found;
  }
}

export class FakeSession implements Session {
  readonly toolstack: Toolstack;
  readonly role: Role;
  readonly guest: string | undefined;
  readonly who = 'test';
  readonly directory = '/home/somebody';
  readonly terminal = undefined;
  readonly stdio: Duplex = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  readonly signal: AbortSignal = new AbortController().signal;
  readonly files: Map<string, string> = new Map();
  stdout = '';
  stderr = '';

  constructor(toolstack: Toolstack, role: Role = 'admin', guest?: string) {
    this.toolstack = toolstack;
    this.role = role;
    this.guest = guest;
  }

  out(text: string): void {
    this.stdout += text;
  }

  err(text: string): void {
    this.stderr += text;
  }

  async readFile(path: string): Promise<string> {
    const text = this.files.get(path);
    if (text === undefined) throw new Fault(`${path}: No such file or directory`);
    return text;
  }
}
