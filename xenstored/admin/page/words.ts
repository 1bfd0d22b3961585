/**
 * Facts of the store in words and short figures. Knows no document.
 */
import type { Letter, Permission, Value } from './types.ts';

const may: Readonly<Record<Letter, string>> = {
  n: 'may do nothing',
  r: 'may read',
  w: 'may write',
  b: 'may read and write',
};

export function mayWords(letter: Letter): string {
  return may[letter];
}

/** One line for the owner, one for everybody else, one for each domain that is named. `domain`: what one is called. */
export function permissionWords(
  permissions: readonly Permission[],
  domain: (domid: number) => string,
): string[] {
  const [owner, ...others] = permissions;
  if (owner === undefined) return ['no permissions'];
  return [
    `${domain(owner.domid)} owns it: may do everything`,
    ...others.map(({ domid, letter }) => `${domain(domid)} ${may[letter]}`),
    `everybody else ${may[owner.letter]}`,
  ];
}

/** As xenstore-ls -p writes them: `n0,r5`. */
export function permissionLetters(permissions: readonly Permission[]): string {
  return permissions.map(({ domid, letter }) => `${letter}${domid}`).join(',');
}

export function shownValue(value: Value): string {
  return value.masked ? '••••••' : value.text;
}

export function childPath(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`;
}

/** An absolute path as a store takes one, without a slash at its end. */
export function isPath(text: string): boolean {
  return /^\/(?:[\w\-@]+(?:\/[\w\-@]+)*)?$/.test(text);
}

export function parentPath(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

export function baseName(path: string): string {
  return path === '/' ? '/' : path.slice(path.lastIndexOf('/') + 1);
}

/** `+3 ms`, `+1.20 s`, `+2 min 3 s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
}

/** How long ago, for people: `now`, `12 s ago`, `3 min ago`, `2 h ago`. */
export function ago(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

/** `1 byte`, `2 bytes`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`;
}
