/**
 * One frontend's sockets, as the handshake's runner sees them: connected with the ring of commands, let go. Commands are taken a few at a time, in
 * turns with all that moves bytes. Knows the store through its link alone.
 */
import { join } from 'node:path';
import type { Clock } from '../../../osdep/clock.ts';
import type { BackendDevice, BackendLink, DeviceStatistics } from '../../../xenstored/client/backend.ts';
import { forgetRecord } from '../../../xenstored/client/ringrecord.ts';
import type { Keys } from '../../../xenstored/xenbus/backend-events.ts';
import {
  PVCALLS_VERSION,
  type PvcallsFrontKeys,
  readPvcallsFront,
} from '../../../xenstored/xenbus/pvcalls.ts';
import type { Account } from '../core/account.ts';
import type { GuestRules } from '../core/policy.ts';
import type { SocketView } from '../core/socket.ts';
import { type Decision, Sockets } from '../core/sockets.ts';
import type { Allowance } from './allowance.ts';
import { CommandRing } from './commandring.ts';
import { type Shared, SocketHands } from './hands.ts';
import type { Mover } from './localhub.ts';
import { tellLost } from './lost.ts';

/** Commands taken between two looks at others. */
const TURN_COMMANDS = 8;

export interface DeviceOptions {
  readonly link: BackendLink;
  readonly clock: Pick<Clock, 'now'>;
  readonly shared: Shared;
  /** The guest's, over all its devices. */
  readonly account: Account;
  readonly allowance: Allowance;
  readonly rules: GuestRules;
  /** Where records lie. */
  readonly recordDir: string;
  readonly onDecision: (decision: Decision) => void;
  readonly onClosed: () => void;
  /** One line. */
  readonly log: (line: string) => void;
}

interface Connection {
  readonly ring: CommandRing;
  readonly hands: SocketHands;
  readonly sockets: Sockets;
}

export class SocketDevice implements BackendDevice<PvcallsFrontKeys>, Mover {
  readonly features: Keys;
  readonly #options: DeviceOptions;
  #rules: GuestRules;
  #connection: Connection | undefined;

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#rules = options.rules;
    this.features = {
      versions: PVCALLS_VERSION,
      'max-page-order': `${options.allowance.ringOrder}`,
      'function-calls': '1',
      'feature-xensock': '1',
    };
  }

  readFront(): ReturnType<typeof readPvcallsFront> {
    return readPvcallsFront({ extension: true });
  }

  async connect(front: PvcallsFrontKeys, how: 'fresh' | 'attach'): Promise<Keys> {
    const { link, log } = this.#options;
    this.#connection = this.#attach(front, how);
    log(
      `${link.path}: ${how === 'fresh' ? 'connected' : 'taken over'}${front.extended ? ', with the extension' : ''}`,
    );
    this.#options.shared.tcp.turns.stir(this);
    return {};
  }

  async disconnect(why: 'closed' | 'gone' | 'stop'): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    letGo(connection, why === 'stop' ? 'broken off' : 'in order');
  }

  close(why: 'gone' | 'stop'): void {
    this.#options.onClosed();
    if (why === 'gone') forgetRecord(this.#recordPath);
  }

  get path(): string {
    return this.#options.link.path;
  }

  get domid(): number {
    return this.#options.link.device.frontendDomid;
  }

  /** From now on; what they forbid is cut. */
  set rules(rules: GuestRules) {
    this.#rules = rules;
    try {
      if (this.#connection !== undefined) this.#connection.sockets.rules = rules;
    } catch (error) {
      this.failed(error);
    }
  }

  list(): Iterable<SocketView> {
    return this.#connection?.sockets.list ?? [];
  }

  /** Since it was connected; undefined: it is not. */
  get statistics(): DeviceStatistics | undefined {
    const hands = this.#connection?.hands;
    return hands && { path: this.path, counters: hands.statistics };
  }

  /** Takes some commands. */
  move(): boolean {
    const connection = this.#connection;
    if (connection === undefined) return false;
    const { ring, sockets } = connection;
    for (let left = TURN_COMMANDS; left > 0; left--) {
      const request = ring.next();
      if (request === 'broken') {
        this.#options.link.broken('ring of commands: req_prod is impossible');
        return false;
      }
      if (request === 'none') {
        ring.publish();
        ring.listen();
        return false;
      }
      sockets.handle(request);
    }
    ring.publish();
    return true;
  }

  failed(error: unknown): void {
    this.#options.link.broken(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }

  get #recordPath(): string {
    const { link, recordDir } = this.#options;
    return join(recordDir, `${link.device.frontendDomid}-${link.device.devid}`);
  }

  #attach({ ringRef, port, extended }: PvcallsFrontKeys, how: 'fresh' | 'attach'): Connection {
    const { shared, account, allowance, clock, onDecision } = this.#options;
    const { domid } = this;
    const { gnttab, ports } = shared;
    const onEvent = (): void => shared.tcp.turns.stir(this);
    const ring = new CommandRing({
      gnttab,
      ports,
      domid,
      ringRef,
      port,
      recordPath: this.#recordPath,
      how,
      onEvent,
    });
    const hands = new SocketHands({
      ...shared,
      domid,
      commands: ring,
      budget: allowance,
      failed: (error) => this.failed(error),
    });
    const now = (): number => clock.now();
    const rules = this.#rules;
    const sockets = new Sockets({ hands, account, rules, extended, now, ledger: ring.record, onDecision });
    hands.heard = sockets;
    const connection = { ring, hands, sockets };
    try {
      if (how === 'attach') this.#takeOver(connection);
    } catch (error) {
      letGo(connection, 'broken off');
      throw error;
    }
    return connection;
  }

  /** What a predecessor has left. */
  #takeOver({ ring, sockets }: Connection): void {
    const { gnttab, ports } = this.#options.shared;
    const { sockets: left } = ring.record;
    for (const entry of left)
      if (entry.state === 'active') tellLost({ gnttab, ports, domid: this.domid }, entry);
    sockets.restore(left);
    for (const request of ring.waiting) sockets.handle(request);
    ring.publish();
    ring.ring();
  }
}

/** What a successor may make again stays written down. */
function letGo({ ring, hands, sockets }: Connection, connections: 'in order' | 'broken off'): void {
  ring.record.leave();
  sockets.close(connections);
  hands.close();
  ring.close();
}
