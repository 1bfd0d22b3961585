/**
 * Paths of the store: which strings are legal, what a relative one means, and how a path splits. Follows docs/misc/xenstore.txt and the C
 * daemon's rules where the two differ. Knows neither nodes nor permissions.
 */

export const ROOT = '/';

const LEGAL = /^[A-Za-z0-9\-/_@]+$/;
const DOMAIN_PREFIX = /^\/local\/domain\/(?=[^/]{1,5}\/)-?\d+\//;

/**
 * The absolute form of a name that a client sent, or `undefined` if it is not legal. A name that starts with neither `/` nor `@` is relative
 * to `home`. Whether `@` names are acceptable is for the caller to say.
 */
export function canonicalPath(name: string, home: string): string | undefined {
  if (!LEGAL.test(name)) return undefined;
  const first = name.charCodeAt(0);
  const path = first === 0x2f || first === 0x40 ? name : `${home}/${name}`;
  if (path.length > 1 && path.endsWith('/')) return undefined;
  return path.includes('//') ? undefined : path;
}

/** What counts against the path-max quota: the length without a leading `/local/domain/<id>/`. */
export function countedLength(path: string): number {
  const prefix = DOMAIN_PREFIX.exec(path);
  return prefix ? path.length - prefix[0].length : path.length;
}

export function isSpecial(path: string): boolean {
  return path.charCodeAt(0) === 0x40;
}

/** The parent's path. Names that start with `@` have the root as parent, which is what permission checks ask. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? ROOT : path.slice(0, slash);
}

/** The last component. Not for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function childPath(parent: string, name: string): string {
  return parent === ROOT ? ROOT + name : `${parent}/${name}`;
}

/** Where relative names of a domain live. */
export function homePath(domid: number): string {
  return `/local/domain/${domid}`;
}
