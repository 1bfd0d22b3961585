/** Domains that misbehave: each attempt fails, and costs only its author. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Errno } from '../../osdep/errno.ts';
import type { RemoteSimPlatform } from '../../osdep/sim/client.ts';
import { encodeFrame, encodePairFrame, Kind, PAIR_FRAME_BYTES } from '../../osdep/sim/protocol.ts';
import { TABLE_BYTES, TABLE_ROWS } from '../../osdep/sim/sharedtable.ts';
import { hypervisorPaths } from '../../osdep/sim/start.ts';
import { type Guest, nextPort, RawDomain, Rig } from './sim-process-kit.ts';

let rig: Rig;
let bystander: RemoteSimPlatform;
beforeAll(async () => {
  rig = await Rig.start();
  bystander = rig.domain();
});
afterAll(async () => {
  await rig.stop();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A page of the control domain for that domain, and what it says. */
function grant(domid: number, peer: 'r' | 'rw'): { ref: number; bytes: Uint8Array } {
  const shared = rig.control.openGntshr().sharePages(domid, 1, peer);
  return { ref: shared.refs[0]!, bytes: shared.bytes };
}

/** The domain is no more, and everybody else goes on. */
async function expectOnlyItDied(domid: number): Promise<void> {
  const ctrl = rig.control.openCtrl();
  while (ctrl.getDomainInfo(domid) !== undefined) await turn();
  ctrl.close();
  const evtchn = bystander.openEvtchn();
  const port = evtchn.bindUnboundPort(bystander.domid);
  const other = evtchn.bindInterdomain(bystander.domid, port);
  expect(await nextPort(evtchn)).toBe(other);
  evtchn.close();
}

/** What only a privileged user could do even so is tried as nobody. */
const asNobody = `
  if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
`;

test('memory has no path: not in the run directory, not through the hypervisor or a descriptor', async () => {
  const { domid, token } = rig.createDomain();
  const { ref, bytes } = grant(domid, 'r');
  bytes[0] = 7;
  expect(readdirSync(`${rig.run}/hypervisor`).sort()).toEqual(['log', 'socket', 'token']);
  const guest = await rig.guest(
    `const fds = [];
     const reply = ask('gntdevMap', { refs: [{ domid: 0, ref: ${ref} }], writable: false }, fds);
     ${asNobody}
     const [O_RDONLY, O_RDWR] = [0, 2];
     const maps = readFileSync('/proc/self/maps', 'latin1');
     say({
       descriptors: fds.length,
       read: tryTo(() => { const area = ffi.mmap(null, 4096, 1, 1, fds[0], 0); return new Uint8Array(ffi.viewOf(area, 1))[0]; }),
       mapForWriting: ffi.mmap(null, 4096, 3, 1, fds[0], 0) === 0xffffffffffffffffn ? ffi.errno() : 'worked',
       protect: failing(ffi.write(fds[0], Buffer.from('x'), 1)),
       truncate: failing(ffi.ftruncate(fds[0], 0)),
       reopen: failing(ffi.open('/proc/self/fd/' + fds[0], O_RDWR, 0)),
       hypervisor: tryTo(() => readdirSync('/proc/${rig.hypervisor.pid}/fd').length),
       hypervisorMemory: tryTo(() => openSync('/proc/${rig.hypervisor.pid}/mem', 'r')),
       token: tryTo(() => readFileSync('${hypervisorPaths(rig.run).token}', 'latin1')),
       path: failing(ffi.open('/memfd:stubdom0', O_RDONLY, 0)),
     });`,
    token,
    'raw',
  );
  expect(await guest.hears()).toEqual({
    descriptors: 1,
    read: 7,
    mapForWriting: Errno.EACCES,
    protect: Errno.EBADF,
    truncate: Errno.EINVAL,
    reopen: Errno.EACCES,
    hypervisor: 'EACCES',
    hypervisorMemory: 'EACCES',
    // Processes of one user are told apart by their tokens as long as they do not go and read them.
    token: process.getuid?.() === 0 ? 'EACCES' : rig.hypervisor.token,
    path: Errno.ENOENT,
  });
  expect(bytes[0]).toBe(7);
});

test('a writable page can be written and not truncated', async () => {
  const { domid, token } = rig.createDomain();
  const { ref, bytes } = grant(domid, 'rw');
  const guest = await rig.guest(
    `const fds = [];
     ask('gntdevMap', { refs: [{ domid: 0, ref: ${ref} }], writable: true }, fds);
     say([failing(ffi.ftruncate(fds[0], 0)), failing(ffi.ftruncate(fds[0], 1 << 20)), failing(ffi.write(fds[0], Buffer.from([9]), 1))]);`,
    token,
    'raw',
  );
  expect(await guest.hears()).toEqual([Errno.EPERM, Errno.EPERM, 'worked']);
  expect(bytes[0]).toBe(9);
});

test('a store into a read-only map ends the one who tries', async () => {
  const { domid, token } = rig.createDomain();
  const { ref, bytes } = grant(domid, 'r');
  bytes[0] = 7;
  const guest = await rig.guest(
    `const map = platform.openGnttab().mapGrantRef(0, ${ref}, 'r');
     say([tryTo(() => platform.openGnttab().mapGrantRef(0, ${ref}, 'rw').pages), map.bytes[0]]);
     process.stdin.once('data', () => { map.bytes[0] = 8; say('survived'); });`,
    token,
  );
  expect(await guest.hears()).toEqual(['EINVAL', 7]);
  guest.process.stdin?.write('go\n');
  expect((await guest.ended).signal).toBe('SIGSEGV');
  expect(bytes[0]).toBe(7);
  await expectOnlyItDied(domid);
});

test("what is granted to one is not another's, nor is memory or events of a stranger", async () => {
  const { token } = rig.createDomain();
  const victim = rig.createDomain();
  const owner = rig.platform(victim.token);
  const { ref } = grant(victim.domid, 'rw');
  const port = owner.openEvtchn().bindUnboundPort(0);
  const guest = await rig.guest(
    `say({
       grant: tryTo(() => platform.openGnttab().mapGrantRef(0, ${ref}, 'r').pages),
       invented: tryTo(() => platform.openGnttab().mapGrantRef(0, 999999, 'r').pages),
       foreign: tryTo(() => platform.openForeignmemory().map(${victim.domid}, 'r', [1]).pages),
       resource: tryTo(() => platform.openForeignmemory().mapResource({ domid: ${victim.domid}, type: 1, id: 0, frame: 0, count: 1 }, 'rw').pages),
       event: tryTo(() => platform.openEvtchn().bindInterdomain(${victim.domid}, ${port})),
       notify: tryTo(() => platform.openEvtchn().notify(1)),
       destroy: tryTo(() => platform.openCtrl().destroyDomain(${victim.domid})),
     });`,
    token,
  );
  expect(await guest.hears()).toEqual({
    grant: 'EINVAL',
    invented: 'EINVAL',
    foreign: 'EPERM',
    resource: 'EPERM',
    event: 'EINVAL',
    notify: 'ENOTCONN',
    destroy: 'EPERM',
  });
});

/** A frame that was tampered with. */
function broken(change: (frame: Buffer) => void, value: unknown = {}): Buffer {
  const frame = encodeFrame(Kind.CALL, value, 'bytes');
  change(frame);
  return frame;
}

/** A request for copies. */
function copies(map: number, rows: number): Buffer {
  const frame = Buffer.alloc(PAIR_FRAME_BYTES);
  encodePairFrame(frame, 0, Kind.COPY, map, rows);
  return frame;
}

/** Memory for copies, of so many pages. */
function openCopies(domain: RawDomain, pages: number): number {
  domain.tell(Kind.CALL, { op: 'gntdevCopier', args: { pages } });
  return (domain.receive() as { value: { map: number } }).value.map;
}

test.each<[string, (domain: RawDomain) => void, string]>([
  ['noise', (domain) => domain.send(Buffer.alloc(64, 0xa5)), 'too long'],
  ['a length beyond the limit', (domain) => domain.send(Buffer.from([0, 0, 0, 64, 2, 0, 0, 0])), 'too long'],
  ['a kind that does not exist', (domain) => domain.tell(99, {}), 'none'],
  ['an answer of its own', (domain) => domain.tell(Kind.REPLY, {}), 'none'],
  ['another token', (domain) => domain.tell(Kind.ATTACH, { token: rig.hypervisor.token }), 'none'],
  ['text that is no JSON', (domain) => domain.send(broken((frame) => frame.fill(0xff, 12, 13))), 'trouble'],
  [
    'a text longer than its body',
    (domain) => domain.send(broken((frame) => frame.fill(200, 8, 9))),
    'trouble',
  ],
  [
    'bytes from outside',
    (domain) => domain.tell(Kind.CALL, { op: 'x', args: { $bytes: [0, 1e9] }, bytes: Buffer.alloc(1) }),
    'trouble',
  ],
  ['no request', (domain) => domain.tell(Kind.CALL, null), 'none'],
  ['copies without memory for them', (domain) => domain.send(copies(1, 1)), 'none'],
  ['copies in memory that has no table', (domain) => domain.send(copies(openCopies(domain, 1), 1)), 'none'],
  [
    'more copies than a table has',
    (domain) => domain.send(copies(openCopies(domain, 1 + TABLE_BYTES / 4096), TABLE_ROWS + 1)),
    'none',
  ],
  ['an event without a port', (domain) => domain.send(Buffer.from([0, 0, 0, 0, 3, 0, 0, 0])), 'none'],
])('%s costs its author the connection and so the domain', async (_name, attempt, why) => {
  const domain = new RawDomain(rig);
  attempt(domain);
  expect(domain.receive()).toBe('closed');
  domain.close();
  await expectOnlyItDied(domain.domid);
  expect(rig.log).toMatch(new RegExp(`domain ${domain.domid} crashed: it sent a message that .*${why}`));
});

test('requests of another shape are answered with an error', () => {
  const domain = new RawDomain(rig);
  const ask = (op: string, args: unknown): number => {
    domain.tell(Kind.CALL, { op, args });
    return (domain.receive() as { errno?: number }).errno ?? 0;
  };
  expect(ask('nonsense', {})).toBe(Errno.ENOSYS);
  expect(ask('toString', {})).toBe(Errno.ENOSYS);
  expect(ask('unmap', { map: 'x' })).toBe(Errno.EFAULT);
  expect(ask('unmap', null)).toBe(Errno.EFAULT);
  expect(ask('createDomain', { domid: -1 })).toBe(Errno.EFAULT);
  expect(ask('gntdevMap', { refs: [{ domid: 0, ref: 1e300 }], writable: true })).not.toBe(0);
  expect(ask('gntallocShare', { domid: 0, count: 1e15, peerWritable: true })).not.toBe(0);
  expect(ask('gntdevCopier', { pages: 1e15 })).toBe(Errno.ENOMEM);
  expect(ask('gntdevCopier', { pages: 0 })).toBe(Errno.EINVAL);
  expect(ask('gntdevCopier', { pages: 40_000 })).toBe(0);
  expect(ask('gntdevCopier', { pages: 40_000 })).toBe(Errno.ENOMEM);
  domain.close();
});

test('a table of copies that says anything at all is answered, and reaches nothing that was not granted', async () => {
  const { domid, token } = rig.createDomain();
  const { ref, bytes } = grant(domid, 'r');
  const others = grant(bystander.domid, 'rw');
  const guest = await rig.guest(
    `const fds = [];
     const { map } = ask('gntdevCopier', { pages: 1 + ${TABLE_BYTES} / 4096 }, fds).value;
     const all = new Uint8Array(ffi.viewOf(ffi.mmap(null, 4096 + ${TABLE_BYTES}, 3, 1, fds[0], 0), 4096 + ${TABLE_BYTES}));
     const go = (rows) => {
       const frame = Buffer.alloc(16);
       frame.writeUInt32LE(8, 0); frame.writeUInt32LE(Kind.COPY, 4); frame.writeUInt32LE(map, 8); frame.writeUInt32LE(rows, 12);
       sock.sendAll(socket, frame);
       const answer = Buffer.alloc(12);
       return sock.receiveAll(socket, answer) < 0 ? 'closed' : answer.readUInt32LE(8);
     };
     const { SharedTable } = await import('${new URL('../../dist/osdep/sim/sharedtable.js', import.meta.url).href}');
     const table = new SharedTable(all.subarray(4096));
     all.fill(0xff, 4096);
     const ones = go(${TABLE_ROWS});
     let answers = new Set();
     for (let round = 0, seed = 1; round < 300; round++) {
       for (let i = 4096; i < all.length; i++) all[i] = (seed = (seed * 1103515245 + 12345) >>> 0) >>> 16;
       answers.add(go(round));
     }
     const row = (toGuest, gref) => {
       table.domids[0] = 0; table.grefs[0] = gref; table.offsets[0] = 0; table.positions[0] = 0; table.lengths[0] = 64; table.toGuest[0] = toGuest;
       all.fill(0x41, 0, 64);
       return [go(1), table.statuses[0]];
     };
     say({ ones, answers: [...answers].sort(), write: row(1, ${ref}), stranger: row(0, ${others.ref}), read: row(0, ${ref}), first: all[0] });`,
    token,
    'raw',
  );
  bytes[0] = 7;
  expect(await guest.hears()).toEqual({
    ones: Errno.EINVAL,
    answers: [0, Errno.EINVAL],
    write: [0, -1],
    stranger: [0, -1],
    read: [0, 0],
    first: 7,
  });
  expect([...bytes.slice(0, 2), others.bytes[0]]).toEqual([7, 0, 0]);
  served(10);
  await guest.kill();
  await expectOnlyItDied(domid);
});

/** How many requests of a bystander are answered while that goes on. */
function served(count: number): void {
  const ctrl = rig.control.openCtrl();
  for (let i = 0; i < count; i++) expect(ctrl.getDomainInfo(0)?.domid).toBe(0);
  ctrl.close();
}

test('one that floods, or stops in the middle, or never takes its answers, keeps nobody from being served', async () => {
  const flooder = `
    const file = (() => { tell(Kind.OPEN_EVENTS, {}); const fds = []; return receive(fds).value.handle; })();
    say('on it');
    const frames = Buffer.alloc(16 * 1024);
    for (let at = 0; at < frames.length; at += 16) { frames[at] = 8; frames[at + 4] = Kind.NOTIFY; frames[at + 8] = file; frames[at + 12] = 1; }
    for (;;) if (sock.sendAll(socket, frames) < 0) break;`;
  const half = `sock.sendAll(socket, encodeFrame(Kind.CALL, {}, 'plain').subarray(0, 10)); say('on it');`;
  const deaf = `
    const frame = encodeFrame(Kind.CALL, { op: 'version', args: {} }, 'plain');
    let sent = 0; say('on it');
    for (;;) { const n = sock.send(socket, frame); if (n < 0) break; }`;
  const guests: Guest[] = [];
  for (const body of [flooder, half, deaf]) {
    const guest = await rig.guest(body, rig.createDomain().token, 'raw');
    guests.push(guest);
    expect(await guest.hears()).toBe('on it');
  }
  served(200);
  for (const guest of guests) await guest.kill();
  served(10);
});

test('one that never looks at its events, and unmasks them all the same, is served on as are others', async () => {
  const { domid, token } = rig.createDomain();
  const guest = await rig.guest(
    `tell(Kind.OPEN_EVENTS, {});
     const { handle } = receive([]).value;
     const loop = ask('evtchnBindUnbound', { handle, domid: ${domid} }).value.port;
     const own = ask('evtchnBindInterdomain', { handle, domid: ${domid}, port: loop }).value.port;
     // Rings itself and lets itself be rung again, far more often than a pipe has room.
     const frame = (kind, port) => { const f = Buffer.alloc(16); f[0] = 8; f[4] = kind; f.writeUInt32LE(handle, 8); f[12] = port; return f; };
     const round = Buffer.concat([frame(Kind.NOTIFY, loop), frame(Kind.UNMASK, own)]);
     const rounds = Buffer.concat(Array.from({ length: 1000 }, () => round));
     for (let i = 0; i < 40; i++) sock.sendAll(socket, rounds);
     say(ask('evtchnStatus', { domid: ${domid}, port: own }).value.state);`,
    token,
    'raw',
  );
  expect(await guest.hears()).toBe('interdomain');
  served(10);
  await guest.kill();
  await expectOnlyItDied(domid);
});
