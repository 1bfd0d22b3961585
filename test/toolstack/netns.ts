/**
 * A network of a test's own: a namespace in which interfaces can be made without anybody's noticing. Needs root and iproute2; `why` says what is
 * missing. Knows no host.
 */
import { spawnSync } from 'node:child_process';

function ip(...args: string[]): { readonly ok: boolean; readonly text: string } {
  const { status, stdout, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  return { ok: status === 0, text: error?.message ?? (status === 0 ? stdout : stderr).trim() };
}

export class Netns {
  readonly name: string;

  /** Throws if it cannot be made. */
  constructor(name: string) {
    this.name = `sd0-${name}-${process.pid}`;
    const made = ip('netns', 'add', this.name);
    if (!made.ok) throw new Error(made.text);
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
  }

  /** Words in front of a command that is to run in it. */
  get via(): readonly string[] {
    return ['ip', 'netns', 'exec', this.name];
  }

  interfaces(): readonly string[] {
    const { text } = ip('-n', this.name, '-o', 'link');
    return text.split('\n').flatMap((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? []);
  }

  close(): void {
    ip('netns', 'del', this.name);
  }
}

/** Why there can be none here; undefined: there can. */
export function withoutNetns(): string | undefined {
  const probe = ip('netns', 'add', `sd0-probe-${process.pid}`);
  if (!probe.ok) return probe.text;
  ip('netns', 'del', `sd0-probe-${process.pid}`);
  return undefined;
}
