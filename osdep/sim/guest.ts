/**
 * A simulated domain seen as what it is below any library: something that does port I/O, writes its own grant table,
 * prints to the hypervisor's console and ends. For guests, and for tests that need a hostile one.
 */
import { Domid } from '../domid.ts';
import type { Mapping } from '../mapping.ts';
import { SimMapping } from './area.ts';
import type { Machine } from './machine.ts';
import type { IoRequest } from './world/requests.ts';

export type { IoRequest } from './world/requests.ts';

export interface SimGuest {
  /** Shuts the domain down, with a ShutdownReason. */
  shutdown(reason: number): void;
  /** Frames of this domain's own. EINVAL where there are none. */
  mapOwn(gfns: readonly number[]): Mapping;
  /** The first `frames` pages of this domain's grant table: its entries, to read and to write. */
  mapGrantTable(frames: number): Mapping;
  /**
   * An access to a device. The result, or undefined while an emulator is at it: VIRQ ARCH_0 tells when to fetch
   * it with `ioResult`. EBUSY while an earlier one of that vCPU is under way.
   */
  io(request: IoRequest): number | undefined;
  /** EAGAIN while the emulator is at it, ENOENT where nothing was asked. */
  ioResult(vcpu: number): number;
  print(text: string): void;
}

export function simGuest(machine: Machine): SimGuest {
  return {
    shutdown: (reason) => {
      machine.call('shutdownDomain', { domid: Domid.SELF, reason });
    },
    mapOwn: (gfns) => {
      const { value, area } = machine.callMapped('ownMap', { gfns });
      return new SimMapping(machine, value.map, area, gfns.length, true);
    },
    mapGrantTable: (frames) => {
      const { value, area } = machine.callMapped('gnttabSetup', { frames });
      return new SimMapping(machine, value.map, area, frames, true);
    },
    io: (request) => {
      const { done, value } = machine.call('guestIo', request);
      return done ? value : undefined;
    },
    ioResult: (vcpu) => machine.call('guestIoResult', { vcpu }).value,
    print: (text) => {
      machine.call('writeConsole', { text });
    },
  };
}
