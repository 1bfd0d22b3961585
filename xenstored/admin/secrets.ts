/**
 * Which nodes hold secrets: by their names, or the name of a node above them, since nothing else tells. Their values leave this service
 * masked, unless whoever has the write token asks for them. A rule for everything that shows, finds or records values.
 */

/** A name that has one of these in it, in any case, is a secret's. Documented in the manual. */
export const secretParts: readonly string[] = [
  'passwd',
  'password',
  'passphrase',
  'secret',
  'token',
  'credential',
  'private-key',
  'private_key',
  'privatekey',
  'api-key',
  'api_key',
  'apikey',
  'access-key',
  'ssh-key',
  'host-key',
  'encryption-key',
  'key-material',
];

/** A name that is one of these is, too. */
export const secretNames: readonly string[] = ['key', 'keys', 'psk', 'pin', 'keytab'];

export interface Secrets {
  /** Is the value of the node at this path not for everybody? */
  isSecret(path: string): boolean;
}

/** `more`: further parts of names. */
export function secretsOf(more: readonly string[] = []): Secrets {
  const parts = [...secretParts, ...more.map((part) => part.toLowerCase())];
  const names = new Set(secretNames);
  return {
    isSecret: (path) =>
      path
        .toLowerCase()
        .split('/')
        .some((name) => names.has(name) || parts.some((part) => name.includes(part))),
  };
}
