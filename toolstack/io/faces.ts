/**
 * The processes of a host that are nobody's domain, and by which people and their programs come to it: who takes orders, who shows the store, who lets in by
 * SSH. Knows where they answer.
 */
import type { HostFile } from '../core/host.ts';
import { defaultPolicy } from '../core/supervise.ts';
import type { Crew } from './crew.ts';
import { sshd, toolstack, xenstoreAdmin } from './programs.ts';
import type { SshState } from './state.ts';

export interface FacesOptions {
  readonly file: HostFile;
  /** The host's run directory. */
  readonly run: string;
  readonly crew: Crew;
  /** What becomes of guests, a line, for people. */
  readonly print: (text: string) => void;
}

export class Faces {
  readonly #options: FacesOptions;
  #adminPort: number;
  #url: string | undefined;
  #ssh: SshState | undefined;

  constructor(options: FacesOptions) {
    this.#options = options;
    this.#adminPort = options.file.admin?.port ?? 0;
  }

  /** Of xenstore-admin; 0: not known yet. */
  get adminPort(): number {
    return this.#adminPort;
  }

  /** Of xenstore-admin, once it serves. */
  get url(): string | undefined {
    return this.#url;
  }

  /** Once it serves. */
  get ssh(): SshState | undefined {
    return this.#ssh;
  }

  startToolstack(): Promise<void> {
    const { run, crew, print } = this.#options;
    return crew.start({
      name: 'toolstack',
      policy: defaultPolicy,
      command: () => toolstack(run),
      line: (text) => {
        if (text.startsWith('guest ')) print(text);
      },
    });
  }

  /** Those that no guest needs to be made, as far as the host has them. */
  startOthers(): [string, Promise<void>][] {
    const { admin, ssh } = this.#options.file;
    return [
      ...(admin === undefined ? [] : [['admin', this.#startAdmin()] satisfies [string, Promise<void>]]),
      ...(ssh === undefined ? [] : [['ssh', this.#startSsh(ssh)] satisfies [string, Promise<void>]]),
    ];
  }

  #startAdmin(): Promise<void> {
    const { run, crew } = this.#options;
    return crew.start({
      name: 'admin',
      policy: defaultPolicy,
      command: () => xenstoreAdmin(run, this.#adminPort),
      ready: (match) => {
        const { origin, port } = new URL(match[1]!);
        this.#url = origin;
        // Its users keep their address when it is started again.
        this.#adminPort = Number(port);
      },
    });
  }

  #startSsh({ port, args }: NonNullable<HostFile['ssh']>): Promise<void> {
    const { run, crew } = this.#options;
    return crew.start({
      name: 'ssh',
      policy: defaultPolicy,
      command: () => sshd(run, port, args),
      ready: ([, address = '', answered = '', fingerprint = '']) => {
        this.#ssh = { address, port: Number(answered), fingerprint };
      },
    });
  }
}
