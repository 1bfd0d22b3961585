/**
 * The SSH library's door: everything of it that this service uses, and the few places where it has to be looked into because it trusts its clients
 * more than we do. Knows no limit and no role.
 */
import { createHash, createPublicKey, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import ssh2, { type Connection, type Session } from 'ssh2';

export interface PublicKey {
  readonly type: string;
  readonly blob: Uint8Array;
  readonly fingerprint: string;
}

export interface SshLibrary {
  /** The library speaks SSH on it from now on; it is told by `connected` once the client has said its first line. */
  take(socket: Socket): void;
}

export type ConnectedListener = (client: Connection, socket: Socket) => void;

/**
 * Key exchanges whose cost is small and the same for every client (none over numbers of thousands of bits that a client chooses), ciphers that
 * authenticate, and no compression: what is sent is as long as what was given.
 */
const algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384'],
  cipher: [
    'chacha20-poly1305@openssh.com',
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'aes128-ctr',
    'aes256-ctr',
  ],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
} as const;

export function openLibrary(hostKey: string, connected: ConnectedListener): SshLibrary {
  const server = new ssh2.Server({
    hostKeys: [hostKey],
    ident: 'stubdom0',
    algorithms: {
      kex: [...algorithms.kex],
      cipher: [...algorithms.cipher],
      hmac: [...algorithms.hmac],
      compress: [...algorithms.compress],
    },
    keepaliveInterval: 15_000,
    keepaliveCountMax: 4,
  });
  server.on('connection', (client: Connection) => connected(client, inside(client)._sock));
  return { take: (socket) => server.injectSocket(socket) };
}

/** In OpenSSH's own format. */
export function makePrivateKey(comment: string): string {
  return ssh2.utils.generateKeyPairSync('ed25519', { comment }).private;
}

/** The public half of a private key; throws an Error that says what is wrong with it. */
export function publicHalf(privateKey: string): PublicKey {
  const key = onlyKey(ssh2.utils.parseKey(privateKey));
  if (!key.isPrivateKey()) throw new Error('it is no private key');
  return { type: key.type, blob: key.getPublicSSH(), fingerprint: fingerprint(key.getPublicSSH()) };
}

/** As `ssh-keygen -l` prints it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** To compare blobs by, in a time that does not depend on where they differ. */
export function digestOf(blob: Uint8Array): Buffer {
  return createHash('sha256').update(blob).digest();
}

export function sameDigest(one: Buffer, other: Buffer): boolean {
  return timingSafeEqual(one, other);
}

const RSA_BITS_MIN = 2048;

/** Why a key, however well it is authorised, is not good enough; undefined: it is. */
export function weakness(type: string, blob: Uint8Array): string | undefined {
  try {
    const key = createPublicKey(onlyKey(ssh2.utils.parseKey(publicLine({ type, blob }))).getPublicPEM());
    const bits = key.asymmetricKeyDetails?.modulusLength ?? RSA_BITS_MIN;
    return bits < RSA_BITS_MIN ? `${bits} bits are too few, ${RSA_BITS_MIN} are the least` : undefined;
  } catch (error) {
    return `it cannot be read: ${error instanceof Error ? error.message : error}`;
  }
}

/** Whether who signed has the key. `hashAlgo`: of an RSA signature; those over SHA-1 are nobody's. */
export function verified(
  { type, blob }: Pick<PublicKey, 'type' | 'blob'>,
  signed: Buffer,
  signature: Buffer,
  hashAlgo: string | undefined,
): boolean {
  if (type === 'ssh-rsa' && hashAlgo !== 'sha256' && hashAlgo !== 'sha512') return false;
  try {
    return (
      onlyKey(ssh2.utils.parseKey(publicLine({ type, blob }))).verify(signed, signature, hashAlgo) === true
    );
  } catch {
    return false;
  }
}

/** As files of keys have it: `TYPE BASE64`. */
export function publicLine({ type, blob }: Pick<PublicKey, 'type' | 'blob'>): string {
  return `${type} ${Buffer.from(blob).toString('base64')}`;
}

function onlyKey(parsed: ReturnType<typeof ssh2.utils.parseKey>): ssh2.ParsedKey {
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error) throw new Error(key?.message ?? 'it holds no key');
  return key;
}

/** What the library does not tell, by the names of its version 1.17. */
interface Inside {
  readonly _sock: Socket;
  readonly _chanMgr: { remove(id: number): void };
  _protocol: { channelClose(id: number): void };
}

interface InsideSession {
  readonly _chanInfo: {
    readonly incoming: { readonly id: number };
    readonly outgoing: { readonly id: number; readonly packetSize: number };
  };
}

function inside(client: Connection): Inside {
  return client as unknown as Inside;
}

/** The largest packet that the client takes. A session that takes none would have the library write for ever. */
export function packetSize(session: Session): number {
  return (session as unknown as InsideSession)._chanInfo.outgoing.packetSize;
}

/** A session that the client closes before anything has been run in it: the library would keep its number, and not answer. */
export function closeUnused(client: Connection, session: Session): void {
  const { incoming, outgoing } = (session as unknown as InsideSession)._chanInfo;
  inside(client)._chanMgr.remove(incoming.id);
  inside(client)._protocol.channelClose(outgoing.id);
}

/** The connection is over: what channels still say is dropped, where the library would throw at whoever said it. */
export function disarm(client: Connection): void {
  inside(client)._protocol = new Proxy({ channelClose: () => {} }, { get: () => () => {} });
}
