/**
 * All that an administrator has to do with a running xensock, in one place: its flags, the policy and who changes it, decisions and their log, the control
 * socket. The service asks it what a guest may do, and is told when that is something else.
 */
import { join } from 'node:path';
import { XenstoreError } from '../../../xenstored/client/error.ts';
import type { FlagValues, ProgramFlags, ServiceHost } from '../../../xenstored/client/program.ts';
import type { GuestRules } from '../core/policy.ts';
import type { SocketView } from '../core/socket.ts';
import type { Decision } from '../core/sockets.ts';
import { type Control, openControl } from './control.ts';
import { Decisions } from './decisions.ts';
import { type Listed, listed } from './list.ts';
import { Policies } from './policies.ts';
import { readPolicyFile } from './policyfile.ts';
import { queryHelp } from './query.ts';

export const flags: ProgramFlags = {
  options: { policy: { type: 'string' }, 'log-decisions': { type: 'boolean' } },
  help: `  --policy FILE       what guests may do (README); read again when it changes, and on SIGHUP; default: what is usual
  --log-decisions     a line for all that the policy allows, not only for what it refuses
${queryHelp}`,
  check({ policy }) {
    if (typeof policy === 'string') readPolicyFile(policy);
  },
};

/** What is administered. */
export interface Administered {
  readonly devices: Iterable<{ readonly domid: number; readonly path: string; list(): Iterable<SocketView> }>;
  /** `of`: default: `rulesOf`, which asks the store. */
  rulesChanged(of?: (domid: number) => GuestRules | Promise<GuestRules>): Promise<void>;
}

type Host = Pick<ServiceHost, 'platform' | 'domid' | 'run' | 'store' | 'log'>;

export class Administration {
  readonly #host: Host;
  readonly #policies: Policies;
  readonly #decisions: Decisions;
  readonly #reread: () => void;
  #administered: Administered | undefined;
  #control: Control | undefined;

  /** Throws an Error of one line: the policy cannot be read. */
  constructor(host: Host, values: FlagValues) {
    const { log } = host;
    this.#host = host;
    this.#policies = new Policies({
      file: typeof values.policy === 'string' ? values.policy : undefined,
      onChange: () => void this.#changed(),
      log,
    });
    this.#decisions = new Decisions({ all: values['log-decisions'] === true, log });
    this.#reread = () => this.#policies.reread();
    process.on('SIGHUP', this.#reread);
  }

  /** What a guest may do now. Its name is asked for, which only a privileged domain is told. */
  readonly rulesOf = async (domid: number): Promise<GuestRules> => {
    this.#policies.named(domid, await this.#nameOf(domid));
    return this.#policies.of(domid);
  };

  readonly decided = (asked: { readonly domid: number; readonly path: string }, decision: Decision): void =>
    this.#decisions.add(asked, decision);

  /** From now on the control socket answers. Where it cannot be made, all else goes on, with a line. */
  async open(administered: Administered): Promise<void> {
    this.#administered = administered;
    const { run, domid, log } = this.#host;
    const path = join(run, 'xensock', `control-${domid}`);
    try {
      this.#control = await openControl(path, {
        sockets: () => this.#sockets(administered),
        decisions: () => this.#decisions.list,
        policy: () => this.#policies.text,
        replacePolicy: (value) => this.#policies.replace(value),
      });
    } catch (error) {
      log(`no control socket: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  close(): void {
    process.off('SIGHUP', this.#reread);
    this.#policies.close();
    this.#control?.close();
  }

  /** By the names that are known, whatever the store is doing; then by those that it tells. */
  async #changed(): Promise<void> {
    await this.#administered?.rulesChanged((domid) => this.#policies.of(domid));
    await this.#administered?.rulesChanged();
  }

  /** undefined: it has none, or none for us. A store that goes and comes must not make it everybody's. */
  async #nameOf(domid: number): Promise<string | undefined> {
    for (;;) {
      try {
        return await this.#host.store.readText(`/local/domain/${domid}/name`);
      } catch (error) {
        if (!(error instanceof XenstoreError) || error.code !== 'ECONNRESET') return undefined;
      }
    }
  }

  #sockets({ devices }: Administered): readonly Listed[] {
    const now = this.#host.platform.clock.now();
    return [...devices].flatMap((device) => {
      const { domid, path } = device;
      const owner = { domid, name: this.#policies.nameOf(domid), devid: Number(path.split('/').at(-1)) };
      return Array.from(device.list(), (socket) => listed(owner, socket, now));
    });
  }
}
