/**
 * What is still there once all devices are gone: nodes, grants, ports, domains. A line each, for a test that wants none. Changes nothing.
 */
import { type Hypervisor, isReserved } from './hypervisor.ts';
import type { Nodes } from './nodes.ts';

export interface Whereabouts {
  readonly nodes: Nodes;
  readonly hypervisor: Hypervisor;
  /** Domains that live, the control domain among them. */
  readonly alive: readonly number[];
  /** Domains that were destroyed. */
  readonly destroyed: readonly number[];
}

export function* leftovers({ nodes, hypervisor, alive, destroyed }: Whereabouts): Generator<string> {
  for (const domid of destroyed)
    if (hypervisor.exists(domid)) yield `domain ${domid} was destroyed, and somebody still maps its pages`;
  const storePorts = new Map(alive.map((domid) => [domid, hypervisor.storePort(domid)]));
  for (const domid of alive) {
    yield* devicesOf(nodes, domid);
    for (const grant of hypervisor.grants(domid)) {
      if (isReserved(grant)) continue;
      const mapped = grant.mapped === 'no' ? 'not mapped' : `mapped ${grant.mapped}`;
      yield `domain ${domid} grants gref ${grant.gref} to domain ${grant.domid} (${mapped})`;
    }
    for (const { port, state, remoteDomid = -1, remotePort = 0 } of hypervisor.ports(domid)) {
      if (state === 'virq' || port === storePorts.get(domid)) continue;
      if (state === 'unbound') yield `domain ${domid} offers port ${port} to domain ${remoteDomid}`;
      else if (storePorts.get(remoteDomid) !== remotePort)
        yield `port ${port} of domain ${domid} is bound to port ${remotePort} of domain ${remoteDomid}`;
    }
  }
}

function* devicesOf(nodes: Nodes, domid: number): Generator<string> {
  const home = `/local/domain/${domid}`;
  for (const kind of nodes.list(`${home}/backend`))
    for (const guest of nodes.list(`${home}/backend/${kind}`))
      for (const devid of nodes.list(`${home}/backend/${kind}/${guest}`))
        yield `${home}/backend/${kind}/${guest}/${devid} is there`;
  for (const top of [`${home}/device`, `/libxl/${domid}/device`])
    for (const kind of nodes.list(top))
      for (const devid of nodes.list(`${top}/${kind}`)) yield `${top}/${kind}/${devid} is there`;
}
