// However many sockets guests want, the process keeps descriptors for itself: who finds none left gets an error number, and one that is given back is there
// again.
import { afterEach, expect, test } from 'vitest';
import { parseIp } from '../../netback/xensock/core/address.ts';
import { Descriptors } from '../../netback/xensock/io/descriptors.ts';
import { TcpSocket } from '../../netback/xensock/io/tcpsocket.ts';
import { Errno } from '../../osdep/errno.ts';
import { Poller } from '../../osdep/os/poll.ts';

const poller = new Poller();
const sockets: TcpSocket[] = [];
/** The process may open so many; all but two are for itself. */
const host = { poller, descriptors: new Descriptors(130) };

function socket(): TcpSocket {
  const made = new TcpSocket(host, 2, () => {});
  sockets.push(made);
  return made;
}

afterEach(() => {
  for (const each of sockets.splice(0)) each.close();
  poller.close();
});

test('the last descriptors are for no guest', () => {
  const loopback = parseIp('127.0.0.1')!;
  const [one, two, three, four] = [socket(), socket(), socket(), socket()];
  const bound = one.bind(loopback);
  expect(bound.ok && one.listen(4)).toBe(0);
  expect(two.connect({ ...loopback, port: bound.ok ? bound.value : 0 })).toBeOneOf([0, Errno.EINPROGRESS]);
  expect(three.bind(loopback)).toEqual({ ok: false, errno: Errno.EMFILE });
  expect(one.accept(four)).toBe(Errno.EMFILE);
  expect(one.accepts()).toBe(true);
  two.close();
  two.close();
  expect(one.accept(four)).toBe(0);
  expect(three.getOption(6, 1)).toEqual({ ok: false, errno: Errno.EMFILE });
});
