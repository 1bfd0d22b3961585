/** Guest programs that talk over a socket driver and wait for nothing but its readiness: one that sends back what it gets, and one that asks it. */
import { expect } from 'vitest';
import { parseIp } from '../../netback/xensock/core/address.ts';
import type { SocketDriver } from '../../netback/xensock/front/driver.ts';
import { Errno } from '../../osdep/errno.ts';

const STREAM = { family: 2, type: 1, protocol: 0 };

/** Bytes came as they were sent. A test runner's own comparison takes a millisecond for each thousand. */
export function same(came: Uint8Array | undefined, sent: Uint8Array): void {
  expect(came && Buffer.compare(came, sent), `${came?.length} of ${sent.length} bytes`).toBe(0);
}

/** A socket's readiness as a promise. */
class Bell {
  #rung = false;
  #wake: () => void = () => {};
  readonly ring = (): void => {
    this.#rung = true;
    this.#wake();
  };

  /** Asks until the answer is another than that there is none yet. */
  async until<T>(ask: () => T | number): Promise<T | number> {
    for (;;) {
      const answer = ask();
      if (answer !== -Errno.EAGAIN) return answer;
      if (!this.#rung)
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      this.#rung = false;
    }
  }
}

interface End<S> {
  readonly driver: SocketDriver<S>;
  readonly socket: S;
  readonly bell: Bell;
}

/** All of it: how much went. */
async function send<S>({ driver, socket, bell }: End<S>, bytes: Uint8Array): Promise<number> {
  let sent = 0;
  while (sent < bytes.length) {
    const some = await bell.until(() => driver.send(socket, bytes.subarray(sent)));
    if (some < 0) break;
    sent += some;
  }
  return sent;
}

/** How much came; less than `least`: there comes no more. */
async function receive<S>(
  { driver, socket, bell }: End<S>,
  into: Uint8Array,
  least: number = into.length,
): Promise<number> {
  let got = 0;
  while (got < least) {
    const some = await bell.until(() => driver.recv(socket, into.subarray(got)));
    if (some <= 0) break;
    got += some;
  }
  return got;
}

/** Listens once, and sends back whatever comes, to anybody. Settles with minus an error number when nobody can come any more. */
export async function echo<S extends object>(
  driver: SocketDriver<S>,
  ip: string,
  port: number,
): Promise<number> {
  const bell = new Bell();
  const listening = driver.create(STREAM, bell.ring);
  if (typeof listening === 'number') return listening;
  const bound = await driver.bind(listening, parseIp(ip, port)!);
  const errno = bound === 0 ? await driver.listen(listening, 8) : bound;
  if (errno !== 0) return errno;
  for (;;) {
    const one = new Bell();
    const socket = await bell.until(() => driver.accept(listening, one.ring));
    if (typeof socket === 'number') return socket;
    void answer({ driver, socket, bell: one });
  }
}

async function answer<S>(end: End<S>): Promise<void> {
  const bytes = new Uint8Array(10_000);
  for (;;) {
    const count = await receive(end, bytes, 1);
    if (count === 0 || (await send(end, bytes.subarray(0, count))) < count) break;
  }
  await end.driver.close(end.socket);
}

/** Says something to such a program and answers what came back; undefined: the connection was not made, or broke off. */
export async function ask<S extends object>(
  driver: SocketDriver<S>,
  ip: string,
  port: number,
  bytes: Uint8Array,
): Promise<Uint8Array | undefined> {
  const bell = new Bell();
  const socket = driver.create(STREAM, bell.ring);
  if (typeof socket === 'number') return undefined;
  const end = { driver, socket, bell };
  const back = new Uint8Array(bytes.length);
  let got = 0;
  const connected = (await driver.connect(socket, parseIp(ip, port)!)) === 0;
  // A piece at a time: both directions are rings of a few pages.
  for (let at = 0; connected && at < bytes.length && got === at; ) {
    const piece = bytes.subarray(at, at + 5000);
    if ((await send(end, piece)) < piece.length) break;
    at += piece.length;
    got += await receive(end, back.subarray(got, at));
  }
  await driver.close(socket);
  return got === bytes.length ? back : undefined;
}
