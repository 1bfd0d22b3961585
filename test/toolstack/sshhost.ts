/**
 * The SSH service in this process, over commands of the test's own instead of a toolstack, and OpenSSH's client against it. Keys are made by
 * OpenSSH's ssh-keygen in a directory that goes with the test.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Session } from '../../toolstack/cli/session.ts';
import type { Toolstack } from '../../toolstack/io/toolstack.ts';
import { hostKey, KeyRing } from '../../toolstack/ssh/keys.ts';
import type { Limits } from '../../toolstack/ssh/limits.ts';
import { SshService } from '../../toolstack/ssh/service.ts';

export const hasOpenSsh: boolean = ['/usr/bin/ssh', '/usr/bin/ssh-keygen', '/usr/bin/scp'].every(existsSync);

export type Run = (words: readonly string[], session: Session) => Promise<number>;

export interface Done {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class SshHost {
  readonly folder: string;
  readonly service: SshService;
  readonly logged: (Readonly<Record<string, unknown>> & { readonly what: string })[];
  readonly refused: readonly string[];
  readonly #waiting: (() => void)[];

  static async open(run: Run, limits: Partial<Limits> = {}): Promise<SshHost> {
    const folder = mkdtempSync(join(tmpdir(), 'stubdom0-ssh-'));
    const key = hostKey({ folder, hostKey: undefined });
    writeFileSync(join(folder, 'authorized_keys'), '', { mode: 0o600 });
    const refused: string[] = [];
    const ring = new KeyRing([join(folder, 'authorized_keys')], (line) => refused.push(line));
    const logged: SshHost['logged'] = [];
    const waiting: (() => void)[] = [];
    const service = await SshService.open({
      listen: '127.0.0.1',
      port: 0,
      hostKey: key.privateKey,
      find: (blob) => ring.find(blob),
      limits,
      host: {
        toolstack: {} as Toolstack,
        commands: { run, complete: async () => ['list', 'console', 'create'] },
        log: (what, detail) => {
          logged.push({ what, ...detail });
          for (const look of waiting.splice(0)) look();
        },
      },
    });
    return new SshHost(folder, service, logged, refused, waiting);
  }

  private constructor(
    folder: string,
    service: SshService,
    logged: SshHost['logged'],
    refused: readonly string[],
    waiting: (() => void)[],
  ) {
    this.folder = folder;
    this.service = service;
    this.logged = logged;
    this.refused = refused;
    this.#waiting = waiting;
  }

  /** The first entry of the log that fits, from now on or before. */
  async logs(what: string, command?: string): Promise<SshHost['logged'][number]> {
    for (;;) {
      const found = this.logged.find(
        (entry) => entry.what === what && (command === undefined || entry.command === command),
      );
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Makes a key, and authorises it with these options; null: not at all. Its path. */
  key(name: string, options: string | null = '', kind: readonly string[] = ['-t', 'ed25519']): string {
    const path = join(this.folder, name);
    execFileSync('ssh-keygen', ['-q', '-N', '', '-C', name, ...kind, '-f', path]);
    if (options !== null) this.authorize(`${options} ${readFileSync(`${path}.pub`, 'utf8')}`.trim());
    return path;
  }

  authorize(line: string): void {
    appendFileSync(join(this.folder, 'authorized_keys'), `${line}\n`);
  }

  flags(key: string): string[] {
    return [
      ...['-F', 'none', '-i', key, '-p', `${this.service.port}`],
      ...['-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none', '-o', 'BatchMode=yes'],
      ...['-o', `UserKnownHostsFile=${join(this.folder, 'known_hosts')}`, '-o', 'StrictHostKeyChecking=yes'],
    ];
  }

  /** OpenSSH's client, to its end. */
  ssh(key: string, words: readonly string[], input = '', user = 'admin'): Promise<Done> {
    return ended(this.start(key, [`${user}@127.0.0.1`, ...words]), input);
  }

  start(key: string, words: readonly string[]): ChildProcess {
    return spawn('ssh', [...this.flags(key), ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  async close(): Promise<void> {
    await this.service.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function ended(child: ChildProcess, input = ''): Promise<Done> {
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (piece) => {
    stdout += piece;
  });
  child.stderr!.on('data', (piece) => {
    stderr += piece;
  });
  child.stdin!.on('error', () => {});
  child.stdin!.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Somebody at a terminal, who looks before typing on. */
export class Typist {
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  #seen = '';
  #waiting: (() => void)[] = [];
  #over = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    const wake = (): void => {
      for (const look of this.#waiting.splice(0)) look();
    };
    child.stdout!.on('data', (piece: Buffer) => {
      this.#seen += piece.toString('latin1');
      wake();
    });
    this.ended = once(child, 'close').then(([code]) => {
      this.#over = true;
      wake();
      return code as number | null;
    });
  }

  types(text: string): void {
    this.#child.stdin!.write(text, 'latin1');
  }

  /** Waits until it is on the screen, and looks only at what comes after it from then on. */
  async sees(text: string): Promise<void> {
    for (;;) {
      const at = this.#seen.indexOf(text);
      if (at >= 0) {
        this.#seen = this.#seen.slice(at + text.length);
        return;
      }
      if (this.#over) throw new Error(`ended without ${JSON.stringify(text)}: ${JSON.stringify(this.#seen)}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
