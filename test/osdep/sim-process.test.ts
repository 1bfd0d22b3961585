/** The machine across processes: what a domain's process can and cannot do, and what its end costs whom. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Virq } from '../../osdep/evtchn.ts';
import { DomainState } from '../../osdep/manage.ts';
import { simPlatform } from '../../osdep/sim/client.ts';
import { hypervisorPaths, startHypervisor } from '../../osdep/sim/start.ts';
import { nextPort, Rig } from './sim-process-kit.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(async () => {
  await rig.stop();
});

test('a process becomes the domain that its token says, and no other', () => {
  const { domid, token } = rig.createDomain();
  const domain = rig.platform(token);
  expect(domain.domid).toBe(domid);
  expect(rig.control.domid).toBe(0);
  expect(domain.instance).toBe(rig.control.instance);
  expect(() => rig.platform('0'.repeat(32))).toThrow(expect.objectContaining({ code: 'EACCES' }));
  expect(() => domain.issueToken({ domid: 0, restartable: false })).toThrow(
    expect.objectContaining({ code: 'EPERM' }),
  );
  expect(() => rig.control.issueToken({ domid: 32000, restartable: false })).toThrow(
    expect.objectContaining({ code: 'ESRCH' }),
  );
});

test('two processes share a page and ring each other', async () => {
  const local = rig.domain();
  const evtchn = local.openEvtchn();
  const shared = local.openGntshr();
  const guest = await rig.guest(`
    process.stdin.once('data', (data) => {
      const { domid, ref, port } = JSON.parse(String(data));
      const page = platform.openGnttab().mapGrantRef(domid, ref, 'rw');
      const events = platform.openEvtchn();
      const own = events.bindInterdomain(domid, port);
      events.pending(); events.unmask(own);
      events.onReadable(() => {
        const fired = events.pending();
        if (fired === undefined) return;
        page.bytes[1] = page.bytes[0] + 1;
        events.unmask(fired);
        events.notify(own);
      });
      say('ready');
    });
    say(platform.domid);
  `);
  const peer = (await guest.hears()) as number;
  const page = shared.sharePages(peer, 1, 'rw');
  const port = evtchn.bindUnboundPort(peer);
  guest.process.stdin?.write(JSON.stringify({ domid: local.domid, ref: page.refs[0], port }));
  expect(await guest.hears()).toBe('ready');
  for (let round = 1; round <= 100; round++) {
    page.bytes[0] = round;
    evtchn.notify(port);
    expect(await nextPort(evtchn)).toBe(port);
    evtchn.unmask(port);
    expect(page.bytes[1]).toBe(round + 1);
  }
});

test('kill -9 of a process kills its domain: everybody is told, its events and grants go, others live', async () => {
  const events = rig.control.openEvtchn();
  const virq = events.bindVirq(Virq.DOM_EXC);
  const manage = rig.control.openManage();
  const gnttab = rig.control.openGnttab();
  const changes = (): Map<number, number> => {
    const found = new Map<number, number>();
    for (let next = manage.pollChangedDomain(); next !== undefined; next = manage.pollChangedDomain()) {
      found.set(next.domid, next.state);
    }
    return found;
  };
  const guest = await rig.guest(`
    const page = platform.openGntshr().sharePages(0, 1, 'rw');
    page.bytes[0] = 42;
    const port = platform.openEvtchn().bindUnboundPort(0);
    say({ domid: platform.domid, ref: page.refs[0], port });
  `);
  const { domid, ref, port } = (await guest.hears()) as { domid: number; ref: number; port: number };
  const bystander = rig.domain();
  const page = gnttab.mapGrantRef(domid, ref, 'rw');
  const own = events.bindInterdomain(domid, port);
  events.unmask((await nextPort(events)) as number);
  const ctrl = rig.control.openCtrl();
  changes();
  events.unmask(virq);
  while (events.pending() !== undefined);
  events.unmask(virq);

  await guest.kill();
  expect(await nextPort(events)).toBe(virq);
  const seen = changes().get(domid) as number;
  expect(seen & DomainState.SHUTDOWN).toBe(DomainState.SHUTDOWN);
  expect(seen & DomainState.DEAD).toBe(DomainState.DEAD);
  events.unmask(virq);
  // A zombie, while its page is mapped; the page can still be read.
  expect(ctrl.getDomainInfo(domid)).toMatchObject({ dying: true, shutdown: true, shutdownReason: 3 });
  expect(page.bytes[0]).toBe(42);
  expect(ctrl.evtchnStatus(0, own)).toMatchObject({ state: 'unbound', remoteDomid: domid });
  gnttab.unmap(page, 1);
  expect(page.bytes).toHaveLength(0);
  expect(await nextPort(events)).toBe(virq);
  expect(changes().get(domid)).toBe(0);
  expect(ctrl.getDomainInfo(domid)).toBeUndefined();
  expect(ctrl.getDomainInfo(bystander.domid)).toMatchObject({ dying: false, shutdown: false });
  expect(bystander.openGntshr().sharePages(0, 1, 'r').bytes).toHaveLength(4096);
  expect(rig.log).toContain(`domain ${domid} crashed: its process is gone`);
  events.close();
});

test('a restartable domain outlives its process, which leaves no ports and mappings behind', async () => {
  const { domid, token } = rig.createDomain(true);
  const body = `
    const page = platform.openGnttab().mapGrantRef(0, Number(process.env.REF), 'rw');
    const port = platform.openEvtchn().bindUnboundPort(0);
    say({ domid: platform.domid, port, first: page.bytes[0]++ });`;
  const shared = rig.control.openGntshr().sharePages(domid, 1, 'rw');
  process.env.REF = String(shared.refs[0]);
  const first = await rig.guest(body, token);
  expect(await first.hears()).toEqual({ domid, port: 1, first: 0 });
  await first.kill();
  const ctrl = rig.control.openCtrl();
  while (ctrl.evtchnStatus(domid, 1).state !== 'closed')
    await new Promise((resolve) => setImmediate(resolve));
  expect(ctrl.getDomainInfo(domid)).toMatchObject({ shutdown: false, dying: false });
  const second = await rig.guest(body, token);
  expect(await second.hears()).toEqual({ domid, port: 1, first: 1 });
});

test('a domain that had shut down when its process ended waits, with its reason, to be taken down', async () => {
  const { domid, token } = rig.createDomain();
  const guest = await rig.guest(`platform.guest.shutdown(1); process.exit(0);`, token);
  expect((await guest.ended).code).toBe(0);
  while (!rig.log.includes(`domain ${domid}: its process is gone`))
    await new Promise((resolve) => setImmediate(resolve));
  const ctrl = rig.control.openCtrl();
  expect(ctrl.getDomainInfo(domid)).toMatchObject({ shutdown: true, shutdownReason: 1, dying: false });
  ctrl.destroyDomain(domid);
  expect(ctrl.getDomainInfo(domid)).toBeUndefined();
});

test('a domain that is destroyed loses its process, and the token is worth nothing', async () => {
  const { domid, token } = rig.createDomain();
  const guest = await rig.guest(`platform.openEvtchn().onReadable(() => {}); say('up');`, token);
  await guest.hears();
  rig.control.openCtrl().destroyDomain(domid);
  expect(await guest.ended).toEqual({ code: 1, signal: null });
  expect(guest.stderr).toContain('the hypervisor has ended this domain');
  expect(() => rig.platform(token)).toThrow(expect.objectContaining({ code: 'EACCES' }));
});

test('one process may host several domains, all of which die with it', async () => {
  const [one, two] = [rig.createDomain(), rig.createDomain()];
  const guest = await rig.guest(
    `const other = simPlatform({ token: '${two.token}' });
     say([platform.domid, other.domid, other.openGntshr().sharePages(0, 1, 'r').refs.length]);`,
    one.token,
  );
  expect(await guest.hears()).toEqual([one.domid, two.domid, 1]);
  await guest.kill();
  const ctrl = rig.control.openCtrl();
  while (ctrl.getDomainInfo(one.domid) || ctrl.getDomainInfo(two.domid)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test('scattered frames lie side by side, more of them than one message can carry', () => {
  const owner = rig.domain();
  const gntshr = owner.openGntshr();
  const pages = Array.from({ length: 600 }, () => gntshr.sharePages(0, 1, 'rw'));
  for (const [i, page] of pages.entries()) new Uint32Array(page.bytes.buffer, 0, 1)[0] = i;
  const mapped = rig.control.openGnttab().mapDomainGrantRefs(
    owner.domid,
    pages.map((page) => page.refs[0]!),
    'rw',
  );
  const words = new Uint32Array(mapped.bytes.buffer, 0, 600 * 1024);
  expect(Array.from({ length: 600 }, (_, i) => words[i * 1024])).toEqual(pages.map((_, i) => i));
  mapped.unmap();
});

test('copies go through in any number, in order, whatever one message takes', () => {
  const owner = rig.domain();
  const pages = owner.openGntshr().sharePages(0, 2, 'rw');
  const [first, second] = pages.refs as [number, number];
  const gnttab = rig.control.openGnttab();
  const count = 700;
  const statuses = gnttab.grantCopy(
    Array.from({ length: count }, (_, i) => ({
      source: { bytes: new Uint8Array(4096).fill(i) },
      dest: { domid: owner.domid, ref: i === 5 ? 999_999 : i % 2 === 0 ? first : second, offset: 0 },
      length: 4096,
    })),
  );
  expect(statuses).toHaveLength(count);
  expect(statuses.filter((status) => status !== 0)).toEqual([statuses[5]]);
  expect([pages.bytes[4095], pages.bytes[4096]]).toEqual([(count - 2) & 255, (count - 1) & 255]);
});

test('SIGTERM ends the hypervisor, and every process sees its domain end', async () => {
  const other = await Rig.start();
  const guest = await other.guest(`platform.openEvtchn().onReadable(() => {}); say('up');`);
  await guest.hears();
  const lost = new Promise<void>((resolve) => other.platform(other.createDomain().token, resolve));
  process.kill(other.hypervisor.pid, 'SIGTERM');
  expect(await other.hypervisor.ended).toBe(0);
  await lost;
  expect((await guest.ended).code).toBe(1);
  expect(() => other.control.openEvtchn()).toThrow(expect.objectContaining({ code: 'ECONNRESET' }));
  await other.stop();
});

test('a run directory has one hypervisor, and one that was killed is succeeded', async () => {
  await expect(startHypervisor({ run: rig.run })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  const run = mkdtempSync(join(tmpdir(), 'sim-'));
  const first = await startHypervisor({ run });
  process.kill(first.pid, 'SIGKILL');
  await first.ended;
  const second = await startHypervisor({ run });
  expect(second.token).not.toBe(first.token);
  simPlatform({ run, token: second.token, onLost: () => {} }).close();
  await second.stop();
  rmSync(run, { recursive: true });
});

test('a program with nothing else to do waits for the end of its hypervisor', async () => {
  const run = mkdtempSync(join(tmpdir(), 'sim-'));
  const program = join(run, 'program.mjs');
  writeFileSync(
    program,
    `const { startHypervisor } = await import('${new URL('../../dist/osdep/sim/start.js', import.meta.url).href}');
     const hypervisor = await startHypervisor({ run: '${run}' });
     await hypervisor.stop();
     console.log('it has ended');`,
  );
  const { status, stdout } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, 'it has ended\n']);
  rmSync(run, { recursive: true });
});

test('a hypervisor does not outlive whoever started it', async () => {
  const run = mkdtempSync(join(tmpdir(), 'sim-'));
  const starter = await rig.guest(
    `const { startHypervisor } = await import('${new URL('../../dist/osdep/sim/start.js', import.meta.url).href}');
     say((await startHypervisor({ run: '${run}' })).pid);`,
  );
  await starter.hears();
  const lost = new Promise<void>((resolve) => {
    simPlatform({ run, token: readFileSync(hypervisorPaths(run).token, 'latin1'), onLost: resolve })
      .openEvtchn()
      .onReadable(() => {});
  });
  await starter.kill();
  await lost;
  rmSync(run, { recursive: true });
});

test('who rings, asks for nothing more and ends at once has rung', async () => {
  const { domid, token } = rig.createDomain(true);
  const evtchn = rig.control.openEvtchn();
  const port = evtchn.bindUnboundPort(domid);
  const guest = await rig.guest(
    `const evtchn = platform.openEvtchn();
     const port = evtchn.bindInterdomain(0, ${port});
     evtchn.notify(port);
     process.exit();`,
    token,
  );
  expect(await nextPort(evtchn)).toBe(port);
  expect((await guest.ended).code).toBe(0);
  evtchn.close();
});
