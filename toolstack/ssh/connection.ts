/**
 * One connection: the key that is asked for, the sessions that come after it, and the limits on what a client may cost. Whoever breaks a limit loses
 * the connection, at once. Knows no command.
 */
import type { Socket } from 'node:net';
import type { AuthContext, Connection as Client, PublicKeyAuthContext, Session } from 'ssh2';
import type { Role } from '../cli/session.ts';
import { plainAddress } from './addresses.ts';
import type { AuthorizedKey } from './authorized.ts';
import type { SessionHost, Visitor } from './host.ts';
import { closeUnused, disarm, fingerprint, packetSize, verified } from './library.ts';
import type { Limits } from './limits.ts';
import type { Line } from './output.ts';
import { ClientTerminal } from './terminal.ts';
import { Visit, whoIs } from './visit.ts';

export interface ConnectionWays {
  readonly limits: Limits;
  readonly host: SessionHost;
  /** The key with this blob, if somebody is authorised by it. */
  find(blob: Uint8Array): AuthorizedKey | undefined;
  entered(): void;
}

const ROLES: readonly Role[] = ['console', 'read-only', 'operator', 'admin'];
/** Nothing of use can be sent in less. */
const PACKET_MIN_BYTES = 64;
/** What a client that keeps to its window can have sent without our having read it; and what we may have to say to it outside of sessions. */
const UNREAD_MAX_BYTES = 4 << 20;
const UNSENT_MAX_BYTES = 4 << 20;
const ROOM_BYTES = 256 * 1024;
const LAST_WORDS_MS = 1000;
const MINUTE_MS = 60_000;

export class Connection implements Line {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #ways: ConnectionWays;
  readonly #address: string;
  readonly #visits = new Map<Session, Visit | undefined>();
  readonly #rekeys: number[] = [];
  #visitor: Visitor | undefined;
  #tries = 0;
  #asked = 0;
  #over = false;
  #waitsForRoom: (() => void)[] = [];
  #waitsForKeys: (() => void)[] = [];
  #idle: NodeJS.Timeout | undefined;

  constructor(client: Client, socket: Socket, ways: ConnectionWays) {
    this.#client = client;
    this.#socket = socket;
    this.#ways = ways;
    this.#address = plainAddress(socket.remoteAddress ?? '');
    client.on('error', () => this.#end());
    client.on('end', () => this.#closed());
    client.on('close', () => this.#closed());
    client.on('authentication', (context) => this.#authenticate(context));
    client.on('session', (accept, reject) => this.#session(accept, reject));
    client.on('rekey', () => this.#rekeyed());
    socket.on('drain', () => wake(this.#waitsForRoom));
    // After the library has dealt with what came.
    socket.on('data', () => this.#check());
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  room(): Promise<void> {
    if (this.#over || this.#socket.writableLength < ROOM_BYTES) return Promise.resolve();
    return new Promise((resolve) => this.#waitsForRoom.push(resolve));
  }

  exchanged(): Promise<void> {
    if (this.#over) return Promise.resolve();
    const late = setTimeout(() => this.#end('a key exchange took too long'), this.#ways.limits.rekeyMs);
    return new Promise((resolve) =>
      this.#waitsForKeys.push(() => {
        clearTimeout(late);
        resolve();
      }),
    );
  }

  #authenticate(context: AuthContext): void {
    const { limits } = this.#ways;
    const key = context.method === 'publickey' ? this.#keyOf(context) : undefined;
    // Clients ask, before they sign, whether a key would do; and before that, which methods there are.
    if (key !== undefined && context.method === 'publickey') {
      if (context.signature === undefined) {
        if (++this.#asked > limits.tries) this.#refuse(context, 'asked too often');
        else context.accept();
        return;
      }
      if (verified(key, context.blob!, context.signature, context.hashAlgo)) {
        this.#enter(context.username, key);
        context.accept();
        return;
      }
    }
    if (context.method === 'none' && this.#asked++ === 0) {
      context.reject(['publickey']);
      return;
    }
    this.#tries++;
    this.#refuse(context, context.method === 'publickey' ? fingerprint(context.key.data) : context.method);
  }

  #keyOf(context: PublicKeyAuthContext): AuthorizedKey | undefined {
    const key = this.#ways.find(context.key.data);
    if (key === undefined || key.type !== context.key.algo) return undefined;
    if (key.from !== undefined && !key.from.has(this.#address)) return undefined;
    return key.expiresMs !== undefined && key.expiresMs <= Date.now() ? undefined : key;
  }

  #refuse(context: AuthContext, offered: string): void {
    context.reject(['publickey']);
    this.#ways.host.log('refused', { user: context.username.slice(0, 64), from: this.#address, offered });
    if (this.#tries >= this.#ways.limits.tries || this.#asked > this.#ways.limits.tries) this.#end();
  }

  #enter(user: string, key: AuthorizedKey): void {
    this.#visitor = {
      user: user.slice(0, 64),
      address: this.#address,
      role: lesser(key.role, user),
      guest: key.guest,
      fingerprint: fingerprint(key.blob),
      comment: key.comment,
    };
    this.#ways.host.log('login', whoIs(this.#visitor));
    this.#ways.entered();
    this.#rest();
  }

  #session(accept: () => Session, reject: () => void): void {
    const visitor = this.#visitor;
    if (visitor === undefined || this.#over || this.#visits.size >= this.#ways.limits.channels) {
      reject();
      return;
    }
    const session = accept();
    this.#visits.set(session, undefined);
    if (packetSize(session) < PACKET_MIN_BYTES) {
      this.#end('it takes no packets');
      return;
    }
    let terminal: ClientTerminal | undefined;
    session.on('pty', (accepted, rejected, { cols, rows }) => {
      if (terminal !== undefined || this.#visits.get(session) !== undefined) {
        rejected?.();
        return;
      }
      terminal = new ClientTerminal();
      terminal.resize(cols, rows);
      accepted?.();
    });
    session.on('window-change', (accepted, _, { cols, rows }) => {
      terminal?.resize(cols, rows);
      accepted?.();
    });
    session.on('signal', (accepted, _, { name }) => {
      if (['INT', 'TERM', 'HUP', 'QUIT', 'KILL'].includes(name.replace(/^SIG/, '')))
        this.#visits.get(session)?.interrupt();
      accepted?.();
    });
    const visit =
      (begin: (visit: Visit) => Promise<void>) => (accepted: () => unknown, rejected: () => void) => {
        if (this.#over || this.#visits.get(session) !== undefined) {
          rejected?.();
          return;
        }
        const channel = accepted() as ConstructorParameters<typeof Visit>[0]['channel'];
        for (const stream of [channel, channel.stderr]) stream.on('error', () => {});
        const { host } = this.#ways;
        const begun = new Visit({ channel, line: this, visitor, host, terminal });
        this.#visits.set(session, begun);
        begin(begun)
          .catch((error) => host.log('mistake', { error: error instanceof Error ? error.stack : error }))
          .finally(() => this.#rest());
        this.#rest();
      };
    session.on('exec', (accepted, rejected, { command }) => {
      visit((begun) => begun.exec(command))(accepted, rejected);
    });
    session.on('shell', (accepted, rejected) => visit((begun) => begun.shell())(accepted, rejected));
    session.on('close', () => {
      const begun = this.#visits.get(session);
      if (!this.#visits.delete(session)) return;
      if (begun === undefined && !this.#over) closeUnused(this.#client, session);
      begun?.close();
      this.#rest();
    });
  }

  /** Limits that only show in what came. */
  #check(): void {
    const { limits } = this.#ways;
    if (this.#over) return;
    if (this.#visitor === undefined && this.#socket.bytesRead > limits.loginBytes)
      this.#end('it sent too much');
    else if (this.#socket.writableLength > UNSENT_MAX_BYTES) this.#end('it does not read');
    else
      for (const visit of this.#visits.values())
        if (visit !== undefined && visit.unread > UNREAD_MAX_BYTES) this.#end('it sent more than its window');
    this.#rest();
  }

  #rekeyed(): void {
    wake(this.#waitsForKeys);
    const now = performance.now();
    this.#rekeys.push(now);
    while (now - this.#rekeys[0]! > MINUTE_MS) this.#rekeys.shift();
    if (this.#visitor === undefined || this.#rekeys.length > this.#ways.limits.rekeysPerMinute)
      this.#end('it exchanges keys too often');
  }

  /** From now on it may rest for as long as one may; while a command is at work, longer. */
  #rest(): void {
    if (this.#over || this.#visitor === undefined) return;
    if (this.#idle !== undefined) {
      this.#idle.refresh();
      return;
    }
    this.#idle = setTimeout(() => {
      if ([...this.#visits.values()].some((visit) => visit?.busy)) this.#idle!.refresh();
      else this.#end('it was idle for too long');
    }, this.#ways.limits.idleMs).unref();
  }

  #end(why?: string): void {
    if (this.#over) return;
    if (why !== undefined)
      this.#ways.host.log('ended', { from: this.#address, user: this.#visitor?.user, why });
    // What has been said still goes out, if the client takes it.
    this.#client.end();
    this.#socket.destroySoon();
    setTimeout(() => this.#socket.destroy(), LAST_WORDS_MS).unref();
    this.#closed();
  }

  #closed(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#idle);
    disarm(this.#client);
    for (const visit of this.#visits.values()) visit?.close();
    this.#visits.clear();
    wake(this.#waitsForRoom);
    wake(this.#waitsForKeys);
  }

  /** For whoever takes the service down. */
  stop(): void {
    this.#end();
  }
}

function wake(waiting: (() => void)[]): void {
  for (const resolve of waiting.splice(0)) resolve();
}

/** `ssh read-only@HOST`: a user may ask for less than the key gives. */
function lesser(role: Role, user: string): Role {
  const asked = ROLES.find((known) => known === user);
  if (asked === undefined || asked === 'console' || role === 'console') return role;
  return ROLES.indexOf(asked) < ROLES.indexOf(role) ? asked : role;
}
