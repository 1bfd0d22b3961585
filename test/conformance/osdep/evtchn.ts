// Event channels: ports and their states, what is pending and masked, who may ring whom, VIRQs, restriction.
import { describe, expect, test } from 'vitest';
import { type Evtchn, Virq } from '../../../osdep/evtchn.ts';
import { type Bench, refuses, type TestDomain } from '../osdep.ts';

/** Everything that fired, taken and left masked. */
function drain(evtchn: Evtchn): number[] {
  const ports: number[] = [];
  for (let port = evtchn.pending(); port !== undefined; port = evtchn.pending()) {
    ports.push(port);
  }
  return ports;
}

/** Everything that fires once something has. */
async function heard(bench: Bench, evtchn: Evtchn): Promise<number[]> {
  const first: number[] = [];
  await bench.machine.until(() => first.push(...drain(evtchn)) > 0);
  await bench.machine.settle();
  return [...first, ...drain(evtchn)];
}

interface Ends {
  readonly a: TestDomain;
  readonly b: TestDomain;
  readonly evtchnA: Evtchn;
  readonly evtchnB: Evtchn;
  readonly portA: number;
  readonly portB: number;
}

/** A channel between two domains: a offered it, b bound to it and has seen its first, spurious event. */
async function connect(bench: Bench): Promise<Ends> {
  const [a, b] = await bench.pair();
  const evtchnA = a.platform.openEvtchn();
  const evtchnB = b.platform.openEvtchn();
  const portA = evtchnA.bindUnboundPort(b.domid);
  const portB = evtchnB.bindInterdomain(a.domid, portA);
  expect(await heard(bench, evtchnB)).toEqual([portB]);
  evtchnB.unmask(portB);
  return { a, b, evtchnA, evtchnB, portA, portB };
}

export function evtchnSuite(bench: Bench): void {
  describe('evtchn', () => {
    test('a notification arrives at the other end, and is told once until it is unmasked', async () => {
      const { evtchnA, evtchnB, portA, portB } = await connect(bench);
      let woken = 0;
      evtchnA.onReadable(() => {
        woken += 1;
      });
      evtchnB.notify(portB);
      await bench.machine.until(() => woken > 0);
      expect(evtchnA.pending()).toBe(portA);
      expect(evtchnA.pending()).toBeUndefined();
      evtchnB.notify(portB);
      evtchnB.notify(portB);
      await bench.machine.settle();
      expect(evtchnA.pending(), 'masked until unmask').toBeUndefined();
      evtchnA.unmask(portA);
      expect(await heard(bench, evtchnA), 'two that collapsed into one').toEqual([portA]);
    });

    test('what fired is taken all at once as well, as many as fit', async () => {
      const [a, b] = await bench.pair();
      const evtchnA = a.platform.openEvtchn();
      const evtchnB = b.platform.openEvtchn();
      const taken = new Uint32Array(4);
      expect(evtchnB.pendingAll(taken)).toBe(0);
      const ports = [1, 2, 3, 4, 5, 6].map(() =>
        evtchnB.bindInterdomain(a.domid, evtchnA.bindUnboundPort(b.domid)),
      );
      await bench.machine.settle();
      expect(evtchnB.pendingAll(taken)).toBe(4);
      const first = [...taken];
      expect(evtchnB.pendingAll(taken)).toBe(2);
      expect([...first, ...taken.slice(0, 2)].sort((x, y) => x - y)).toEqual(ports);
      expect(evtchnB.pendingAll(taken)).toBe(0);
      evtchnB.unmask(ports[3]!);
      evtchnA.notify(bench.control.platform.openCtrl().evtchnStatus(b.domid, ports[3]!).remotePort!);
      expect(await heard(bench, evtchnB)).toEqual([ports[3]]);
    });

    test('there is a descriptor to wait on, where the platform has them', () => {
      const evtchn = bench.control.platform.openEvtchn();
      expect(evtchn.fd >= 0).toBe(bench.supports.descriptors);
    });

    test('who listens late is told of what is pending already', async () => {
      const [a, b] = await bench.pair();
      const evtchn = b.platform.openEvtchn();
      evtchn.bindInterdomain(a.domid, a.platform.openEvtchn().bindUnboundPort(b.domid));
      await bench.machine.settle();
      let told = 0;
      const stop = evtchn.onReadable(() => {
        told += 1;
      });
      expect(told, 'not from within the call').toBe(0);
      await bench.machine.until(() => told > 0);
      stop();
      drain(evtchn);
    });

    test('the side that binds finds its port pending, the other side does not', async () => {
      const [a, b] = await bench.pair();
      const evtchnA = a.platform.openEvtchn();
      const evtchnB = b.platform.openEvtchn();
      const portA = evtchnA.bindUnboundPort(b.domid);
      const portB = evtchnB.bindInterdomain(a.domid, portA);
      expect(await heard(bench, evtchnB)).toEqual([portB]);
      expect(drain(evtchnA)).toEqual([]);
    });

    test('a port nobody has bound to swallows notifications', async () => {
      const [a, b] = await bench.pair();
      const evtchnA = a.platform.openEvtchn();
      const port = evtchnA.bindUnboundPort(b.domid);
      evtchnA.notify(port);
      await bench.machine.settle();
      expect(evtchnA.pending()).toBeUndefined();
    });

    test('only the domain that a port waits for may bind to it, and only once', async () => {
      const { a, b, portA } = await connect(bench);
      refuses('EINVAL', () => b.platform.openEvtchn().bindInterdomain(a.domid, portA));
      const waiting = a.platform.openEvtchn().bindUnboundPort(bench.empty());
      refuses('EINVAL', () => b.platform.openEvtchn().bindInterdomain(a.domid, waiting));
      refuses('EINVAL', () => b.platform.openEvtchn().bindInterdomain(a.domid, 1077));
      refuses('ESRCH', () => b.platform.openEvtchn().bindInterdomain(4321, 1));
    });

    test('closing one end lets the other wait for the same peer again', async () => {
      const { a, evtchnA, evtchnB, portA, portB } = await connect(bench);
      evtchnB.unbind(portB);
      const status = bench.control.platform.openCtrl().evtchnStatus(a.domid, portA);
      expect(status.state).toBe('unbound');
      evtchnA.notify(portA);
      const again = evtchnB.bindInterdomain(a.domid, portA);
      evtchnB.notify(again);
      expect(await heard(bench, evtchnA)).toEqual([portA]);
    });

    test('the lowest free port is used next', async () => {
      const [a, b] = await bench.pair();
      const evtchn = a.platform.openEvtchn();
      const ports = [1, 2, 3, 4].map(() => evtchn.bindUnboundPort(b.domid));
      expect(ports).toEqual([...ports].sort((x, y) => x - y));
      evtchn.unbind(ports[2]!);
      evtchn.unbind(ports[0]!);
      expect(evtchn.bindUnboundPort(b.domid)).toBe(ports[0]);
      expect(evtchn.bindUnboundPort(b.domid)).toBe(ports[2]);
    });

    test('a handle reaches only its own ports', async () => {
      const { a, evtchnA, portA } = await connect(bench);
      const other = a.platform.openEvtchn();
      refuses('ENOTCONN', () => other.notify(portA));
      refuses('ENOTCONN', () => other.unbind(portA));
      refuses('EINVAL', () => other.unbind(0x7fff_ffff));
      other.unmask(portA);
      evtchnA.notify(portA);
    });

    test('closing a handle closes its ports', async () => {
      const { a, b, evtchnB, portA } = await connect(bench);
      evtchnB.close();
      evtchnB.close();
      expect(evtchnB.pending()).toBeUndefined();
      refuses('EBADF', () => evtchnB.bindUnboundPort(0));
      const again = b.platform.openEvtchn();
      expect(again.bindInterdomain(a.domid, portA)).toBeGreaterThan(0);
    });

    test('a domain may connect to itself', async () => {
      const [a] = await bench.pair();
      const evtchn = a.platform.openEvtchn();
      const one = evtchn.bindUnboundPort(a.domid);
      const two = evtchn.bindInterdomain(a.domid, one);
      expect(await heard(bench, evtchn)).toEqual([two]);
      evtchn.unmask(two);
      evtchn.notify(two);
      expect(await heard(bench, evtchn)).toEqual([one]);
      evtchn.notify(one);
      expect(await heard(bench, evtchn)).toEqual([two]);
    });

    test('many ports ring, and each is told of', async () => {
      const [a, b] = await bench.pair();
      const evtchnA = a.platform.openEvtchn();
      const evtchnB = b.platform.openEvtchn();
      const ports = Array.from({ length: 200 }, () => evtchnA.bindUnboundPort(b.domid));
      const theirs = ports.map((port) => evtchnB.bindInterdomain(a.domid, port));
      for (const port of theirs) {
        evtchnB.notify(port);
      }
      const seen = new Set<number>();
      await bench.machine.until(() => {
        for (const port of drain(evtchnA)) {
          seen.add(port);
        }
        return seen.size === ports.length;
      });
      expect([...seen].sort((x, y) => x - y)).toEqual(ports);
    });

    bench.guestTest('a port that a toolstack made is attached, with what rang before', async () => {
      const [a, b] = await bench.pair();
      const port = bench.control.platform.openCtrl().evtchnAllocUnbound(a.domid, b.domid);
      const evtchnB = b.platform.openEvtchn();
      evtchnB.notify(evtchnB.bindInterdomain(a.domid, port));
      const evtchnA = a.platform.openEvtchn();
      evtchnA.bind(port);
      expect(await heard(bench, evtchnA)).toEqual([port]);
      refuses('EINVAL', () => a.platform.openEvtchn().bind(port));
      refuses('EINVAL', () => evtchnA.bind(99));
    });

    test('a toolstack makes ports of a domain, looks at them, and closes them all', () => {
      const ctrl = bench.control.platform.openCtrl();
      const domid = bench.empty();
      const port = ctrl.evtchnAllocUnbound(domid, 0);
      expect(ctrl.evtchnStatus(domid, port)).toMatchObject({ state: 'unbound', remoteDomid: 0 });
      const own = bench.control.platform.openEvtchn().bindInterdomain(domid, port);
      expect(ctrl.evtchnStatus(domid, port)).toMatchObject({
        state: 'interdomain',
        remoteDomid: 0,
        remotePort: own,
      });
      ctrl.evtchnReset(domid);
      expect(ctrl.evtchnStatus(domid, port).state).toBe('closed');
      expect(ctrl.evtchnStatus(0, own)).toMatchObject({ state: 'unbound', remoteDomid: domid });
      refuses('ESRCH', () => ctrl.evtchnAllocUnbound(4321, 0));
    });

    bench.guestTest('a dead peer leaves the port waiting for nobody', async () => {
      const { a, b, evtchnA, portA } = await connect(bench);
      await bench.machine.kill(b.domid);
      const ctrl = bench.control.platform.openCtrl();
      await bench.machine.until(() => ctrl.evtchnStatus(a.domid, portA).state === 'unbound');
      evtchnA.notify(portA);
      expect(ctrl.evtchnStatus(a.domid, portA)).toMatchObject({ remoteDomid: b.domid });
    });

    bench.guestTest('a paused domain hears nothing, and everything once it goes on', async () => {
      const { a, evtchnA, evtchnB, portA, portB } = await connect(bench);
      const ctrl = bench.control.platform.openCtrl();
      ctrl.pause(a.domid);
      evtchnB.notify(portB);
      await bench.machine.settle();
      expect(evtchnA.pending()).toBeUndefined();
      ctrl.unpause(a.domid);
      expect(await heard(bench, evtchnA)).toEqual([portA]);
    });

    test('a VIRQ is bound once', () => {
      const evtchn = bench.control.platform.openEvtchn();
      evtchn.bindVirq(Virq.DOM_EXC);
      refuses('EEXIST', () => evtchn.bindVirq(Virq.DOM_EXC));
      refuses('EINVAL', () => evtchn.bindVirq(24));
      evtchn.close();
      bench.control.platform.openEvtchn().bindVirq(Virq.DOM_EXC);
    });

    bench.guestTest('a global VIRQ is bound by its handler alone', async () => {
      const [a, b] = await bench.guests();
      const evtchn = bench.control.platform.openEvtchn();
      evtchn.bindVirq(Virq.DOM_EXC);
      refuses('EBUSY', () => a.platform.openEvtchn().bindVirq(Virq.DOM_EXC));
      const ctrl = bench.control.platform.openCtrl();
      refuses('EBUSY', () => ctrl.setVirqHandler(a.domid, Virq.DOM_EXC));
      evtchn.close();
      ctrl.setVirqHandler(a.domid, Virq.DOM_EXC);
      refuses('EBUSY', () => b.platform.openEvtchn().bindVirq(Virq.DOM_EXC));
      refuses('EINVAL', () => ctrl.setVirqHandler(a.domid, Virq.ARGO));
      a.platform.openEvtchn().bindVirq(Virq.DOM_EXC);
      a.platform.openEvtchn().bindVirq(Virq.ARGO);
      b.platform.openEvtchn().bindVirq(Virq.ARGO);
    });

    test('a restricted handle knows one domain only', () => {
      const [one, other] = [bench.empty(), bench.empty()];
      const evtchn = bench.control.platform.openEvtchn();
      const before = evtchn.bindUnboundPort(other);
      refuses('EINVAL', () => evtchn.restrict(0));
      evtchn.restrict(one);
      refuses('EACCES', () => evtchn.restrict(one));
      refuses('EACCES', () => evtchn.bindUnboundPort(one));
      refuses('EACCES', () => evtchn.bindInterdomain(other, 1));
      refuses('EACCES', () => evtchn.bindVirq(Virq.ARGO));
      const theirs = bench.control.platform.openCtrl().evtchnAllocUnbound(one, 0);
      expect(evtchn.bindInterdomain(one, theirs)).toBeGreaterThan(0);
      evtchn.notify(before);
    });

    bench.guestTest(
      'nobody looks at, or makes, ports of a domain that he is not privileged over',
      async () => {
        const [a, b] = await bench.guests();
        const ctrl = a.platform.openCtrl();
        refuses('EPERM', () => ctrl.evtchnStatus(b.domid, 1));
        refuses('EPERM', () => ctrl.evtchnAllocUnbound(b.domid, a.domid));
        refuses('EPERM', () => ctrl.evtchnReset(b.domid));
        refuses('ESRCH', () => ctrl.evtchnStatus(4321, 1));
      },
    );
  });
}
