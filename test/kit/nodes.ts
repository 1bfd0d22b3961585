/**
 * The store at a glance: nodes read and written at once, as the control domain may, while everything else stands still. For tests, which look between two
 * steps. Knows no device.
 */
import { encodeMessage } from '../../xenstored/wire/frame.ts';
import { Op, type OpName, wireError } from '../../xenstored/wire/ops.ts';
import type { StoreView, ViewReply } from './storelinks.ts';

/** As in SET_PERMS: `n5`, `r0`. */
export type Perms = readonly string[];

export class Nodes {
  /** `undefined`: the store does not run. */
  view: StoreView | undefined;
  #txId = 0;

  /** A node's text; undefined where there is none. */
  read(path: string): string | undefined {
    return this.#find('READ', `${path}\0`)?.toString();
  }

  /** The names of a node's children; none where there is no such node. */
  list(path: string): readonly string[] {
    const names = this.#find('DIRECTORY', `${path}\0`)?.toString() ?? '';
    return names === '' ? [] : names.slice(0, -1).split('\0');
  }

  write(path: string, value: string): void {
    this.#do('WRITE', Buffer.from(`${path}\0${value}`), path);
  }

  mkdir(path: string): void {
    this.#do('MKDIR', `${path}\0`, path);
  }

  /** With all below it; it need not be there. */
  remove(path: string): void {
    this.#find('RM', `${path}\0`);
  }

  setPerms(path: string, perms: Perms): void {
    this.#do('SET_PERMS', `${path}\0${perms.map((perm) => `${perm}\0`).join('')}`, path);
  }

  introduce(domid: number, gfn: number, port: number): void {
    this.#do('INTRODUCE', `${domid}\0${gfn}\0${port}\0`, `domain ${domid}`);
  }

  release(domid: number): void {
    this.#do('RELEASE', `${domid}\0`, `domain ${domid}`);
  }

  /** All that `body` writes becomes visible at once. */
  together(body: () => void): void {
    this.#txId = Number.parseInt(this.#ask('TRANSACTION_START', '\0').payload.toString('latin1'), 10);
    try {
      body();
      this.#do('TRANSACTION_END', 'T\0', 'of the toolstack');
    } finally {
      this.#txId = 0;
    }
  }

  /** A node and all below it, a line each. */
  *tree(path: string): Generator<string> {
    const value = this.read(path);
    if (value === undefined) return;
    yield `${path} = "${value}"`;
    for (const name of this.list(path)) yield* this.tree(`${path === '/' ? '' : path}/${name}`);
  }

  #find(op: OpName, payload: string): Buffer | undefined {
    const reply = this.#ask(op, payload);
    if (reply.type !== Op.ERROR) return reply.payload;
    const code = wireError(reply.payload.toString('latin1').replace(/\0$/, ''));
    if (code === 'ENOENT') return undefined;
    throw new Error(`${op} ${payload.split('\0')[0]}: ${code}`);
  }

  #do(op: OpName, payload: string | Buffer, subject: string): void {
    const reply = this.#ask(op, payload);
    if (reply.type !== Op.ERROR) return;
    throw new Error(`${op} ${subject}: ${reply.payload.toString('latin1').replace(/\0$/, '')}`);
  }

  #ask(op: OpName, payload: string | Buffer): ViewReply {
    if (this.view === undefined) throw new Error('the store does not run: nobody can look into it');
    return this.view.ask(encodeMessage(Op[op], 1, this.#txId, payload));
  }
}
