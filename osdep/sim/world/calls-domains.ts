/** Requests about domains and the machine as a whole, and which piece does them. */
import { Errno } from '../../errno.ts';
import { type Handlers, on, onCommand, type Parts } from './calls.ts';
import { VERSION } from './conring.ts';
import { done, fail, nothing } from './outcome.ts';
import { getParam, setParam } from './params.ts';
import type { OpName } from './requests.ts';

export function domainCalls(
  parts: Parts,
): Pick<
  Handlers,
  | Extract<OpName, `${string}Domain` | `set${string}` | `domain${string}` | `hvmParam${string}`>
  | 'guestWidth'
  | 'version'
  | 'physinfo'
  | 'readConsole'
  | 'writeConsole'
> {
  const life = parts.lifecycle;
  const set = (change: () => void) => {
    change();
    return nothing;
  };
  return {
    createDomain: (caller, options) => {
      const made = caller.control ? life.create(options, 'guest') : fail(Errno.EPERM);
      return made.ok ? done({ domid: made.value.domid }) : made;
    },
    destroyDomain: (caller, { domid }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) =>
        domain === caller ? fail(Errno.EINVAL) : set(() => life.destroy(domain)),
      ),
    pauseDomain: (caller, { domid }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) => life.pause(caller, domain)),
    unpauseDomain: (caller, { domid }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) => life.unpause(caller, domain)),
    shutdownDomain: (caller, { domid, reason }) => {
      const target = parts.state.find(caller, domid);
      return target === caller
        ? set(() => life.shutdown(caller, reason))
        : on(parts.state, caller, 'model', domid, (domain) => set(() => life.shutdown(domain, reason)));
    },
    resumeDomain: (caller, { domid }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) =>
        domain === caller ? fail(Errno.EINVAL) : life.resume(domain),
      ),
    setMaxMem: (caller, { domid, maxKb }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) =>
        set(() => {
          domain.maxPages = Math.floor(maxKb / 4);
        }),
      ),
    setMaxVcpus: (caller, { domid, count }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) => life.setMaxVcpus(domain, count)),
    setHandle: (caller, { domid, handle }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) => life.setHandle(domain, handle)),
    setTarget: (caller, { domid, target }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) => {
        const other = parts.state.domains.get(target);
        if (other === undefined) {
          return fail(Errno.ESRCH);
        }
        if (other === domain || domain.target !== undefined) {
          return fail(Errno.EINVAL);
        }
        domain.target = other;
        return nothing;
      }),
    setVirqHandler: (caller, { domid, virq }) =>
      onCommand(parts.state, caller, 'control', domid, (domain) => parts.events.setVirqHandler(domain, virq)),
    domainInfo: (caller, { domid }) =>
      onCommand(parts.state, caller, 'inspect', domid, (domain) => done(life.infoOf(domain))),
    domainInfoList: (caller, { firstDomid, max }) => {
      if (!caller.control) {
        return fail(Errno.EPERM);
      }
      const listed = [...parts.state.domains.values()]
        .filter((domain) => domain.domid >= firstDomid)
        .sort((a, b) => a.domid - b.domid)
        .slice(0, max);
      return done({ domains: listed.map((domain) => life.infoOf(domain)) });
    },
    domainState: (caller, { domid }) =>
      onCommand(parts.state, caller, 'inspect', domid, (domain) => done(life.stateOf(domain))),
    pollChangedDomain: (caller) => life.pollChanged(caller),
    hvmParamSet: (caller, { domid, param, value }) =>
      on(parts.state, caller, 'self', domid, (domain) => setParam(caller, domain, param, value)),
    hvmParamGet: (caller, { domid, param }) =>
      on(parts.state, caller, 'self', domid, (domain) => getParam(domain, param)),
    guestWidth: (caller, { domid }) =>
      onCommand(parts.state, caller, 'control', domid, () => done({ bytes: 8 })),
    version: () => done(VERSION),
    physinfo: (caller) =>
      caller.control
        ? done({
            threadsPerCore: 1,
            coresPerSocket: 1,
            nrCpus: 1,
            maxCpuId: 0,
            nrNodes: 1,
            cpuKhz: 1_000_000,
            totalPages: parts.state.limits.totalPages,
            freePages: parts.state.freePages,
            scrubPages: 0,
            maxMfn: parts.frames.maxMfn,
          })
        : fail(Errno.EPERM),
    readConsole: (caller, { index, clear }) =>
      caller.control ? done(parts.conring.read(index, clear ? 'clear' : 'keep')) : fail(Errno.EPERM),
    writeConsole: (caller, { text }) => set(() => parts.conring.write(caller.domid, text)),
  };
}
