/**
 * What the hypervisor knows of domains, for tests to look at: grants as they stand in a domain's own table, ports and where they lead. Asked for through
 * Xen's libraries, as a toolstack would. Changes nothing.
 */
import { type Ctrl, HvmParam } from '../../osdep/ctrl.ts';
import { OsError } from '../../osdep/errno.ts';
import { Resource } from '../../osdep/foreignmemory.ts';
import { GrantFlag, ReservedGrant } from '../../osdep/gnttab.ts';
import { PAGE_SIZE } from '../../osdep/mapping.ts';
import type { SimPlatform } from '../../osdep/sim/platform.ts';

/** A grant entry that is in force. */
export interface GrantInForce {
  readonly gref: number;
  /** To whom. */
  readonly domid: number;
  readonly readOnly: boolean;
  /** What the grantee does with it now. */
  readonly mapped: 'no' | 'to read' | 'to write';
}

/** A port that is not closed. */
export interface PortInUse {
  readonly port: number;
  readonly state: 'unbound' | 'interdomain' | 'virq';
  /** Of an interdomain port its peer, of an unbound one who may bind to it. */
  readonly remoteDomid?: number;
  readonly remotePort?: number;
}

const ENTRY_BYTES = 8;

export class Hypervisor {
  readonly ctrl: Ctrl;
  readonly #platform: SimPlatform;

  constructor(platform: SimPlatform) {
    this.#platform = platform;
    this.ctrl = platform.openCtrl();
  }

  /** In order of their references; none of a domain that is not there. */
  grants(domid: number): readonly GrantInForce[] {
    const table = this.#table(domid);
    if (table === undefined) return [];
    const grants: GrantInForce[] = [];
    for (let gref = 0; gref * ENTRY_BYTES < table.byteLength; gref += 1) {
      const flags = table.getUint16(gref * ENTRY_BYTES, true);
      if ((flags & GrantFlag.TYPE_MASK) === 0) continue;
      const writes = (flags & GrantFlag.WRITING) !== 0;
      const reads = (flags & GrantFlag.READING) !== 0;
      grants.push({
        gref,
        domid: table.getUint16(gref * ENTRY_BYTES + 2, true),
        readOnly: (flags & GrantFlag.READONLY) !== 0,
        mapped: writes ? 'to write' : reads ? 'to read' : 'no',
      });
    }
    return grants;
  }

  ports(domid: number): readonly PortInUse[] {
    const ports: PortInUse[] = [];
    for (let port = 1; ; port += 1) {
      const status = this.#status(domid, port);
      if (status === undefined) return ports;
      const { state, remoteDomid, remotePort } = status;
      if (state !== 'unbound' && state !== 'interdomain' && state !== 'virq') continue;
      ports.push({
        port,
        state,
        ...(remoteDomid === undefined ? {} : { remoteDomid }),
        ...(remotePort === undefined ? {} : { remotePort }),
      });
    }
  }

  /** Of a domain that lives: its port to the store; 0: it has none. */
  storePort(domid: number): number {
    try {
      return this.ctrl.hvmParamGet(domid, HvmParam.STORE_EVTCHN);
    } catch (error) {
      if (error instanceof OsError) return 0;
      throw error;
    }
  }

  /** Still there in any form, if only because somebody maps its pages. */
  exists(domid: number): boolean {
    return this.ctrl.getDomainInfo(domid) !== undefined;
  }

  /** `undefined`: there is no such domain, or it never had as many ports. */
  #status(domid: number, port: number): ReturnType<Ctrl['evtchnStatus']> | undefined {
    try {
      return this.ctrl.evtchnStatus(domid, port);
    } catch (error) {
      if (error instanceof OsError) return undefined;
      throw error;
    }
  }

  /** A copy of the domain's table. */
  #table(domid: number): DataView | undefined {
    const foreign = this.#platform.openForeignmemory();
    try {
      const { frames } = this.ctrl.gnttabQuerySize(domid);
      if (frames === 0) return undefined;
      const where = { domid, type: Resource.GRANT_TABLE, id: 0, frame: 0, count: frames };
      const own = domid === this.#platform.domid;
      const mapping = own ? this.#platform.guest.mapGrantTable(frames) : foreign.mapResource(where, 'r');
      const bytes = new Uint8Array(frames * PAGE_SIZE);
      for (let page = 0; page < frames; page += 1) bytes.set(mapping.page(page), page * PAGE_SIZE);
      mapping.unmap();
      return new DataView(bytes.buffer);
    } catch (error) {
      if (error instanceof OsError) return undefined;
      throw error;
    } finally {
      foreign.close();
    }
  }
}

/** Whether a toolstack made it, before the domain ran. */
export function isReserved({ gref }: GrantInForce): boolean {
  return gref === ReservedGrant.CONSOLE || gref === ReservedGrant.XENSTORE;
}
