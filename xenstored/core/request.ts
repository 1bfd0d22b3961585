/**
 * One request as handlers see it, and what they answer. A refusal is a value: nothing here throws for what a peer did.
 */
import type { WireError } from '../wire/ops.ts';
import type { Link } from './link.ts';
import type { Cause } from './outbox.ts';
import type { State } from './state.ts';
import type { Transaction } from './transaction.ts';
import type { View } from './view.ts';

export interface Refusal {
  readonly errno: WireError;
}

/** The reply's payload; a refusal; or nothing, when the handler has replied itself. */
export type Answer = string | Refusal | undefined;

export interface Request {
  readonly state: State;
  readonly link: Link;
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  /** The payload is `data[start, end)`. */
  readonly data: Buffer;
  readonly start: number;
  readonly end: number;
  readonly transaction: Transaction | undefined;
  /** The store as this request sees it. */
  readonly view: View;
  readonly cause: Cause | undefined;
}

export type Handler = (request: Request) => Answer;

const refusal = (errno: WireError): Refusal => ({ errno });

export const EINVAL: Refusal = refusal('EINVAL');
export const EACCES: Refusal = refusal('EACCES');
export const EEXIST: Refusal = refusal('EEXIST');
export const ENOENT: Refusal = refusal('ENOENT');
export const ENOMEM: Refusal = refusal('ENOMEM');
export const ENOSPC: Refusal = refusal('ENOSPC');
export const EIO: Refusal = refusal('EIO');
export const ENOSYS: Refusal = refusal('ENOSYS');
export const EBUSY: Refusal = refusal('EBUSY');
export const EAGAIN: Refusal = refusal('EAGAIN');
export const EPERM: Refusal = refusal('EPERM');

export function refused(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'errno' in value;
}
