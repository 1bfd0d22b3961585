/**
 * What guests of a host file do besides greeting: serve an archive by HTTP, fetch from URLs; and where each guest is told of it, below its `vm-data`
 * in the store. Knows no guest.
 */
import { type DeviceFiles, devicesOf } from './devices.ts';

export interface ProgramFiles {
  /** Left out: it serves nothing. */
  readonly serves?: {
    /** The disk whose archive it is. */
    readonly disk: string;
    /** As the guest binds it; a policy may map it to another one. */
    readonly port: number;
  };
  readonly fetches: readonly {
    readonly url: string;
    readonly everySeconds: number;
  }[];
}

type GuestPrograms = ProgramFiles & DeviceFiles & { readonly name: string };

/** Nodes below `vm-data`. */
export function programData(guest: GuestPrograms): Readonly<Record<string, string>> {
  const { serves, fetches } = guest;
  const disk = serves && devicesOf(guest, 0).find(({ name }) => name === serves.disk);
  return {
    ...(serves && { 'web/disk': `${disk!.devid}`, 'web/port': `${serves.port}` }),
    ...Object.fromEntries(
      fetches.map(({ url, everySeconds }, number) => [`fetch/${number}`, `${everySeconds} ${url}`]),
    ),
  };
}

/** What a host file cannot say by its shape alone. */
export function programMistakes(guest: GuestPrograms): string[] {
  const { name, serves, fetches, sockets } = guest;
  if (serves === undefined && fetches.length === 0) return [];
  const wrong = sockets.length > 0 ? [] : [`guest ${name} serves or fetches, and has no sockets`];
  if (serves === undefined) return wrong;
  const disk = devicesOf(guest, 0).find((device) => device.name === serves.disk);
  if (disk?.kind !== 'vbd') wrong.push(`guest ${name} serves from ${serves.disk}, and has no such disk`);
  // What a guest does with its other disks would spoil an archive.
  else if (disk.mode !== 'r')
    wrong.push(`guest ${name} serves from ${serves.disk}, which has to be of mode r`);
  return wrong;
}
