/**
 * What the tables of requests have in common: the pieces they call, and finding the file, domain or server that a request
 * names, with the right to it. The tables are in the files beside, one family each.
 */
import { Errno } from '../../errno.ts';
import type { ConRing } from './conring.ts';
import type { Devices } from './devices.ts';
import type { Emulation } from './emulation.ts';
import type { Events } from './events.ts';
import type { Files } from './files.ts';
import type { Foreign } from './foreign.ts';
import type { Frames } from './frames.ts';
import type { Grants } from './grants.ts';
import type { Ioreq } from './ioreq.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Maps } from './maps.ts';
import { fail, type Outcome } from './outcome.ts';
import { command, type Right, reach } from './policy.ts';
import type { Args, OpName, Reply } from './requests.ts';
import type { Domain, EvtchnFile, IoreqServer, State } from './state.ts';

export type Handlers = { [K in OpName]: (caller: Domain, args: Args<K>) => Reply<K> };

export interface Parts {
  readonly state: State;
  readonly conring: ConRing;
  readonly events: Events;
  readonly frames: Frames;
  readonly grants: Grants;
  readonly maps: Maps;
  readonly files: Files;
  readonly devices: Devices;
  readonly foreign: Foreign;
  readonly ioreq: Ioreq;
  readonly lifecycle: Lifecycle;
  readonly emulation: Emulation;
}

const MAX_MAPS = 65_536;
/** 4 GiB: the hypervisor remembers each. */
const MAX_MAPPED_PAGES = 2 ** 20;

/** A domain may have only so many mappings, of so many pages together: the same page counts each time. */
export function hasRoom(domain: Domain, pages: number = 0): boolean {
  return domain.maps.size < MAX_MAPS && domain.mappedPages + pages <= MAX_MAPPED_PAGES;
}

export function withFile(
  caller: Domain,
  handle: number,
  then: (file: EvtchnFile) => Outcome<unknown>,
): Outcome<never> {
  const file = caller.files.get(handle);
  return (file === undefined ? fail(Errno.EBADF) : then(file)) as Outcome<never>;
}

/** Does something to a domain that the caller has this right over. */
export function on(
  state: State,
  caller: Domain,
  right: Right,
  domid: number,
  then: (target: Domain) => Outcome<unknown>,
): Outcome<never> {
  const target = reach(state, caller, right, domid);
  return (target.ok ? then(target.value) : target) as Outcome<never>;
}

/** As on, for the toolstack's commands. */
export function onCommand(
  state: State,
  caller: Domain,
  right: Right,
  domid: number,
  then: (target: Domain) => Outcome<unknown>,
): Outcome<never> {
  const target = command(state, caller, right, domid);
  return (target.ok ? then(target.value) : target) as Outcome<never>;
}

export function onServer(
  parts: Pick<Parts, 'state' | 'ioreq'>,
  caller: Domain,
  domid: number,
  id: number,
  then: (server: IoreqServer, domain: Domain) => Outcome<unknown>,
): Outcome<never> {
  return on(parts.state, caller, 'model', domid, (domain) => {
    const server = parts.ioreq.find(caller, domain, id);
    return server.ok ? then(server.value, domain) : server;
  });
}
