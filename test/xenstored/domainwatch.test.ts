// Whose state has changed, as a hypervisor of today tells it, and as it is found out on one that does not: the same news but for what an old
// one cannot know.
import { beforeEach, describe, expect, test } from 'vitest';
import { type Ctrl, ShutdownReason } from '../../osdep/ctrl.ts';
import { Errno, OsError } from '../../osdep/errno.ts';
import { Virq } from '../../osdep/evtchn.ts';
import type { Platform } from '../../osdep/platform.ts';
import { type LocalHost, steppedHost } from '../../osdep/sim/local.ts';
import { type DomainWatcher, type KnownDomain, watchDomains } from '../../xenstored/io/domainwatch.ts';

const today = (platform: Platform): Platform => platform;
/** Xen before 4.21. */
const old = (platform: Platform): Platform => ({
  ...platform,
  openManage: () => {
    throw new OsError(Errno.EACCES, 'domctl 90');
  },
});

/** Any stub domain, here on Xen before 4.21: it may ask for each domain, but is never given the list. */
const stub = (platform: Platform): Platform => ({
  ...old(platform),
  openCtrl: () => {
    const ctrl = platform.openCtrl();
    return new Proxy(ctrl, {
      get: (target, name) => {
        if (name !== 'getDomainInfoList') return Reflect.get(target, name).bind(target);
        return () => {
          throw new OsError(Errno.EPERM, 'sysctl 6');
        };
      },
    });
  },
});

let host: LocalHost;
let ctrl: Ctrl;
let watcher: DomainWatcher;

describe.each([
  ['today', today],
  ['before libxenmanage', old],
])('a hypervisor of %s', (name, age) => {
  beforeEach(() => {
    host = steppedHost();
    const platform = host.platformFor(0);
    ctrl = platform.openCtrl();
    ctrl.createDomain({ domid: 3 });
    platform.openEvtchn().bindVirq(Virq.DOM_EXC);
    watcher = watchDomains(age(platform));
  });

  const news = (): KnownDomain[] => {
    const told: KnownDomain[] = [];
    for (let next = watcher.next(); next; next = watcher.next()) told.push(next);
    return told;
  };

  test('tells of all there are at first, and who is the control domain; then of nothing', () => {
    expect(news().map(({ domid, exists, control }) => [domid, exists, control])).toEqual([
      [0, true, true],
      [3, true, false],
    ]);
    expect(news()).toEqual([]);
  });

  test('tells of a shutdown, and of an end', () => {
    news();
    ctrl.shutdown(3, ShutdownReason.CRASH);
    expect(news()).toMatchObject([{ domid: 3, exists: true, shutdown: true, dead: false }]);
    ctrl.destroyDomain(3);
    expect(news().at(-1)).toMatchObject({ domid: 3, exists: false });
    expect(watcher.state(3)).toBeUndefined();
  });

  test('tells of a newcomer under an old id, by its unique id where it can', () => {
    const [first] = news().filter(({ domid }) => domid === 3);
    ctrl.destroyDomain(3);
    news();
    ctrl.createDomain({ domid: 3 });
    const [second] = news();
    expect(second).toMatchObject({ domid: 3, exists: true, shutdown: false });
    expect(second!.uniqueId === first!.uniqueId).toBe(name !== 'today');
    expect(watcher.state(3)).toMatchObject({ domid: 3, exists: true, uniqueId: second!.uniqueId });
  });

  test('tells of the end of a domain that was asked about and never told', () => {
    news();
    ctrl.createDomain({ domid: 4 });
    expect(watcher.state(4)).toMatchObject({ domid: 4, exists: true });
    ctrl.destroyDomain(4);
    expect(news()).toMatchObject([{ domid: 4, exists: false }]);
    expect(news()).toEqual([]);
  });

  test('knows nothing of a domain that never was, nor of a reserved id', () => {
    expect(watcher.state(77)).toBeUndefined();
    expect(watcher.state(0x7ff0)).toBeUndefined();
  });
});

describe('a hypervisor that lists no domains for us', () => {
  beforeEach(() => {
    host = steppedHost();
    const platform = host.platformFor(0);
    ctrl = platform.openCtrl();
    ctrl.createDomain({ domid: 3 });
    ctrl.createDomain({ domid: 4 });
    platform.openEvtchn().bindVirq(Virq.DOM_EXC);
    watcher = watchDomains(stub(platform));
  });

  const news = (): [number, string][] => {
    const told: [number, string][] = [];
    for (let next = watcher.next(); next; next = watcher.next()) {
      told.push([next.domid, !next.exists ? 'gone' : next.shutdown ? 'shutdown' : 'there']);
    }
    return told;
  };

  test('tells of the control domain at first, and later of those that were asked about', () => {
    expect(news()).toEqual([[0, 'there']]);
    expect(watcher.state(3)).toMatchObject({ domid: 3, exists: true });
    expect(watcher.state(5)).toBeUndefined();
    expect(news()).toEqual([[3, 'there']]);
    ctrl.shutdown(3, ShutdownReason.POWEROFF);
    ctrl.shutdown(4, ShutdownReason.POWEROFF);
    expect(news()).toEqual([[3, 'shutdown']]);
    ctrl.destroyDomain(3);
    expect(news()).toEqual([[3, 'gone']]);
    expect(news()).toEqual([]);
    expect(watcher.state(4)).toMatchObject({ domid: 4, shutdown: true });
    ctrl.destroyDomain(4);
    expect(news()).toEqual([[4, 'gone']]);
    expect(news()).toEqual([]);
  });
});

test('a kernel that makes no hypercalls for us is named as what is in the way, on any hypervisor', () => {
  const platform = steppedHost().platformFor(0);
  const refused = (text: string) => (): never => {
    throw new OsError(Errno.EPERM, text);
  };
  const locked = platform.openCtrl();
  locked.getDomainInfo = refused('this kernel makes no hypercalls');
  locked.getDomainInfoList = refused('this kernel makes no hypercalls');
  const watched = watchDomains({
    ...platform,
    openManage: () => ({ getDomainInfo: refused('90'), pollChangedDomain: refused('90'), close() {} }),
    openCtrl: () => locked,
  });
  expect(() => watched.next()).toThrow('this kernel makes no hypercalls');
});

test('a question that failed is no answer: nobody counts as gone for it', () => {
  const platform = steppedHost().platformFor(0);
  platform.openEvtchn().bindVirq(Virq.DOM_EXC);
  const manage = platform.openManage();
  const watched = watchDomains({ ...platform, openManage: () => manage });
  manage.getDomainInfo = () => {
    throw new OsError(Errno.EFAULT, 'domctl 90');
  };
  expect(() => watched.state(0)).toThrow(OsError);
});
