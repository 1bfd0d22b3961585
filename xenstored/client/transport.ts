/**
 * The seam between a client and what carries its bytes: a socket, a device, a ring. Whole messages go out, bytes come in cut anywhere.
 * Knows nothing of what messages say.
 */

/** A way that is open. */
export interface Transport {
  /** Queues one whole message; never throws for a peer that is gone: `closed` tells. Takes the bytes over. */
  send(message: Buffer): void;
  /** Ends it, without `closed` being called. Idempotent. */
  close(): void;
}

/** Who is at this end. Never called from within `send` or `connect`. */
export interface TransportUser {
  /** The bytes may be reused after the call. */
  receive(bytes: Buffer): void;
  /** The other side is gone or makes no sense: once, and nothing follows. */
  closed(reason: Error): void;
}

/** Where a store is. Each call opens a new way to it. */
export interface Connector {
  /** For messages: a path, or `ring`. */
  readonly name: string;
  /** Rejects with an error whose `code` names an error number, such as ENOENT or ECONNREFUSED. */
  connect(user: TransportUser): Promise<Transport>;
}
