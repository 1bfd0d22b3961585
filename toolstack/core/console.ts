/**
 * A domain's first console as the store shows it: the nodes that libxl makes for whoever does xenconsoled's job, with their permissions, and where
 * what it consists of is found again. It has no states: neither side ever writes one. Follows libxl_console.c and libxl_device.c of Xen 4.22. Knows no
 * store and no ring.
 */
import type { PermEntry } from '../../xenstored/wire/reply.ts';
import { backendPath, type DeviceName, libxlPath } from '../../xenstored/xenbus/path.ts';
import type { NodeSpec } from './domain.ts';

export interface ConsoleSpec {
  /** Whose console it is. */
  readonly domid: number;
  /** Who serves it. */
  readonly backendDomid: number;
  /** Of the domain's, made for `backendDomid` (Ctrl.evtchnAllocUnbound); also its parameter CONSOLE_EVTCHN. */
  readonly port: number;
  /** Its frame of the ring, seeded as grant 0 for `backendDomid` (Ctrl.gnttabSeed); also its parameter CONSOLE_PFN. */
  readonly gfn: number;
  /**
   * What the domain is called, for its server's logs, which may not read `name` of others unless it is privileged: the key `domain` of the backend's
   * directory, as xend wrote it. Left out, as libxl does: a server of domain 0.
   */
  readonly name?: string;
}

/** The kind of device below `backend/`. */
export const CONSOLE = 'console';

/** What is kept for one who does not look, in bytes (LIBXL_XENCONSOLE_LIMIT). */
const LIMIT_BYTES = 1_048_576;

/** `/local/domain/5/console`; the first console stands outside of `device/`. */
export function consolePath(domid: number): string {
  return `/local/domain/${domid}/console`;
}

/** The node that names the terminal: of the paravirtual console, or of an emulated serial port. */
export function terminalNode(domid: number, type: 'pv' | 'serial', number: number): string {
  const home = `/local/domain/${domid}`;
  if (type === 'serial') return `${home}/serial/${number}/tty`;
  return number === 0 ? `${consolePath(domid)}/tty` : `${home}/device/console/${number}/tty`;
}

/** The node beside it that says what its server has marked the terminal with, since names of terminals are given away again; only ours write one. */
export function markNode(terminal: string): string {
  return `${terminal}-mark`;
}

/** The trees of a console: removed before they are written, and when the domain is gone; there is nothing to wait for. */
export function consoleTrees(domid: number, backendDomid: number): string[] {
  const name = deviceOf(domid, backendDomid);
  return [consolePath(domid), backendPath(name), libxlPath(name)];
}

/** To be written in one transaction, once port and frame are known and before the domain runs. Parents come first. */
export function consoleNodes({ domid, backendDomid, port, gfn, name: called }: ConsoleSpec): NodeSpec[] {
  const name = deviceOf(domid, backendDomid);
  const [front, back, libxl] = [consolePath(domid), backendPath(name), libxlPath(name)];
  const guests: PermEntry[] = permissions(domid, backendDomid);
  const theirs: PermEntry[] = permissions(backendDomid, domid);
  const ours: PermEntry[] = [{ letter: 'n', domid: 0 }];
  const backKeys = {
    frontend: front,
    'frontend-id': `${domid}`,
    online: '1',
    state: '1',
    protocol: 'vt100',
  };
  const readOnly = {
    backend: back,
    limit: `${LIMIT_BYTES}`,
    type: 'xenconsoled',
    output: 'pty',
    tty: '',
    port: `${port}`,
    'ring-ref': `${gfn}`,
  };
  return [
    ...tree(libxl, { ...backKeys, backend: back }, ours),
    // The guest may not change what names a terminal of its server's.
    ...tree(front, readOnly, theirs),
    { path: `${front}/backend-id`, value: `${backendDomid}`, perms: guests },
    ...tree(back, { ...backKeys, ...(called !== undefined && { domain: called }) }, theirs),
  ];
}

function deviceOf(domid: number, backendDomid: number): DeviceName {
  return { backendDomid, kind: CONSOLE, frontendDomid: domid, devid: 0 };
}

function permissions(owner: number, reader: number): PermEntry[] {
  return [
    { letter: 'n', domid: owner },
    { letter: 'r', domid: reader },
  ];
}

function tree(path: string, keys: Readonly<Record<string, string>>, perms: PermEntry[]): NodeSpec[] {
  const below = Object.entries(keys).map(([key, value]) => ({ path: `${path}/${key}`, value, perms }));
  return [{ path, value: '', perms }, ...below];
}
