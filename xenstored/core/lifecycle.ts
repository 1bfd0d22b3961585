/**
 * How domains come and go: introduction, reset, release and death, and what each means for rings, nodes and permissions. Driven by requests and
 * by what the machine reports; follows docs/misc/xenstore.txt and today's C daemon.
 */
import { RingError } from '../wire/ops.ts';
import type { Domain } from './domain.ts';
import type { Node } from './node.ts';
import { isSpecial, ROOT } from './path.ts';
import type { DomainState } from './ports.ts';
import type { State } from './state.ts';

export const INTRODUCED = '@introduceDomain';
export const RELEASED = '@releaseDomain';

export type Introduced = { readonly ok: true } | { readonly ok: false; readonly errno: string };

/** Maps the ring and makes the connection of a new domain, or binds a known one's event channel again. */
export function introduce(state: State, domid: number, port: number): Introduced {
  const known = state.domains.introduced(domid);
  const now = known && state.machine.domain(domid);
  if (now && !isSame(known, now)) {
    // Its death is only about to be told: this is for the one that has its number now.
    destroy(state, known);
  } else if (known?.link) {
    known.port = state.machine.rebind(domid, port) ? port : 0;
    state.domains.changed.add(known);
    return { ok: true };
  }
  const attached = state.machine.attach(domid, port);
  if (!attached.ok) {
    // As after a death: entries that an earlier domain of this number has left behind, or a mistaken toolstack made.
    if (!state.domains.get(domid)) state.store.forgetDomain(domid);
    return attached;
  }
  const domain = state.domains.existing(domid) ?? state.domains.make(domid, 0n);
  domain.introduced = true;
  domain.port = attached.port;
  domain.shutdownReported = false;
  domain.link = state.addLink('ring', domid);
  state.domains.changed.add(domain);
  state.effects.push({ kind: 'features', domid, features: domain.features });
  if (domid !== state.options.privDomid) {
    state.fireSpecial(INTRODUCED, domid, { plain: true, domain: true });
  }
  return { ok: true };
}

/** A fresh start for a ring: nothing that was said before counts. */
export function reset(state: State, domain: Domain): void {
  if (!domain.link) return;
  state.clearLink(domain.link);
  state.effects.push({ kind: 'reset', domid: domain.domid });
}

/** The record goes, and with it everything that was the domain's. */
export function destroy(state: State, domain: Domain): void {
  const { domid, link } = domain;
  if (link) state.removeLink(link);
  removeTraces(state, domain);
  state.domains.remove(domain);
  if (!domain.introduced) return;
  state.effects.push({ kind: 'detach', domid });
  state.fireSpecial(RELEASED, domid, { plain: true, domain: true });
}

/** VIRQ_DOM_EXC: asks who changed, and acts on it. */
export function domainsChanged(state: State): void {
  state.domains.beginEra();
  let shutdown = false;
  for (let next = state.machine.pollChanged(); next; next = state.machine.pollChanged()) {
    const domain = state.domains.get(next.domid);
    const what = domain ? check(state, domain, next) : 'same';
    if (what === 'shutdown') shutdown = true;
    // A death is told in the plain form too, and speaks for those before it.
    else if (what === 'gone' && domain?.introduced) shutdown = false;
  }
  if (shutdown) state.fireSpecial(RELEASED, 0, { plain: true, domain: false });
}

/** Is it still the domain that the record was made for? */
export function isSame(domain: Domain, now: DomainState | undefined): boolean {
  if (!now?.exists) return false;
  return domain.uniqueId === 0n || now.uniqueId === 0n || domain.uniqueId === now.uniqueId;
}

/** Holds a record against what the machine says. The plain event of a shutdown is left to the caller, one for a whole batch. */
export function check(
  state: State,
  domain: Domain,
  now: DomainState | undefined,
): 'same' | 'shutdown' | 'gone' {
  if (!now || !isSame(domain, now)) {
    destroy(state, domain);
    return 'gone';
  }
  if (domain.uniqueId === 0n && now.uniqueId !== 0n) {
    domain.uniqueId = now.uniqueId;
    state.domains.changed.add(domain);
  }
  if (!domain.introduced) return 'same';
  const shutdown = now.shutdown && !domain.shutdownReported;
  if (shutdown) {
    domain.shutdownReported = true;
    state.domains.changed.add(domain);
    state.fireSpecial(RELEASED, domain.domid, { plain: false, domain: true });
  }
  if (now.dead) {
    destroy(state, domain);
    return 'gone';
  }
  return shutdown ? 'shutdown' : 'same';
}

/** A ring link that cannot be served any more, for a reason from outside: an index out of range, say. */
export function violated(state: State, domain: Domain, error: number = RingError.RINGIDX): void {
  if (domain.link && !domain.link.ignored) state.giveUp(domain.link, error);
}

/** Nodes that the domain owns go, with events; entries that name it go unnoticed. */
function removeTraces(state: State, domain: Domain): void {
  const { store, options } = state;
  const { domid, owned } = domain;
  for (const node of [...(owned ?? [])]) {
    if (options.keepOrphans || isLasting(node.path))
      store.setPerms(node, node.perms.withOwner(options.privDomid), options.privDomid);
  }
  if (!options.keepOrphans) {
    for (const root of inTreeOrder(topmost(owned ?? new Set()))) {
      state.history.add(state.now, domid, 0, 'gone', root.path, '');
      for (const dead of store.remove(root, domid)) {
        state.fire(dead.path, dead === root ? 'subtree' : 'exact', dead, undefined, undefined);
      }
    }
  }
  store.forgetDomain(domid);
}

/** The root and the special nodes are never removed, not even with the domain that they were given to. */
function isLasting(path: string): boolean {
  return path === ROOT || isSpecial(path);
}

/** Those that have no other of the set above them. */
function topmost(nodes: ReadonlySet<Node>): Node[] {
  return [...nodes].filter((node) => {
    for (let above = node.parent; above; above = above.parent) if (nodes.has(above)) return false;
    return true;
  });
}

/** As a walk of the tree meets them: parents first, siblings in order of creation. */
function inTreeOrder(nodes: Node[]): Node[] {
  if (nodes.length < 2) return nodes;
  const lineages = nodes.map((node) => ({ node, births: lineage(node) }));
  lineages.sort((a, b) => {
    const at = a.births.findIndex((birth, i) => birth !== b.births[i]);
    return at < 0 ? -1 : (a.births[at] ?? 0) - (b.births[at] ?? 0);
  });
  return lineages.map(({ node }) => node);
}

function lineage(node: Node): number[] {
  const births: number[] = [];
  for (let each: Node | undefined = node; each; each = each.parent) births.push(each.bornAt);
  return births.reverse();
}
