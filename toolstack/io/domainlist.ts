/**
 * Domains as the hypervisor lists them: all of them, or one by the uuid that its toolstack gave it, since numbers are used again. Knows no store.
 */
import type { Ctrl, DomainInfo } from '../../osdep/ctrl.ts';

const DOMAINS_A_CALL = 1024;

/** In order of their numbers. */
export function allDomains(ctrl: Ctrl): DomainInfo[] {
  const all: DomainInfo[] = [];
  for (let first = 0; ; ) {
    const some = ctrl.getDomainInfoList(first, DOMAINS_A_CALL);
    all.push(...some);
    if (some.length < DOMAINS_A_CALL) return all;
    first = some.at(-1)!.domid + 1;
  }
}

/** `domid` undefined: it was made, if it was, and nobody had written down its number yet. */
export function infoOf(
  ctrl: Ctrl,
  { domid, uuid }: { readonly domid: number | undefined; readonly uuid: string },
): DomainInfo | undefined {
  if (domid === undefined) return allDomains(ctrl).find(({ handle }) => handle === uuid);
  const info = ctrl.getDomainInfo(domid);
  return info?.handle === uuid ? info : undefined;
}
