/**
 * Domains as the store knows them: those that have a home in it, with what the toolstack wrote there, and their devices in short. What a domain
 * wrote about itself is shown as it is. Knows no hypervisor and no HTTP.
 */
import type { Device } from './devices.ts';
import type { Fields, Quota } from './inspect.ts';
import { numbersBelow, type Reader, textOf } from './reader.ts';

export interface DomainDevice {
  readonly kind: string;
  readonly devid: number;
  readonly role: 'frontend' | 'backend';
  /** The other end's domain. */
  readonly other: number;
  /** Of its own end, and of the other one. */
  readonly state: number;
  readonly other_state: number;
}

export interface Domain {
  readonly domid: number;
  /** null: it has none in the store. */
  readonly name: string | null;
  readonly uuid: string | null;
  /** Does the store serve its ring? null: nobody can tell. */
  readonly introduced: boolean | null;
  /** What it was asked for last and has not taken up: poweroff, reboot, suspend; null: nothing. */
  readonly shutdown: string | null;
  readonly memory: { readonly target_kib: number | null; readonly max_kib: number | null };
  readonly devices: readonly DomainDevice[];
  /** Used against the limit, where the daemon tells. */
  readonly quotas?: Readonly<Record<string, Quota>>;
}

export interface DomainsOf {
  readonly reader: Reader;
  readonly devices: readonly Device[];
  readonly introduced: (domid: number) => Promise<boolean | null>;
  /** Rows of the daemon's listing; undefined: it has none. */
  readonly quotas: readonly Fields[] | undefined;
}

export async function domainsOf(from: DomainsOf, only?: number): Promise<Domain[]> {
  const { reader, devices, introduced, quotas } = from;
  const ends = endsByDomain(devices);
  const used = new Map(quotas?.map((row) => [row.domid, row]));
  const domids = await numbersBelow(reader, '/local/domain');
  return await Promise.all(
    domids
      .filter((domid) => only === undefined || domid === only)
      .map(async (domid): Promise<Domain> => {
        const home = `/local/domain/${domid}`;
        const text = async (path: string): Promise<string | null> => (await textOf(reader, path)) ?? null;
        const [name, vm, shutdown, target, max, served] = await Promise.all([
          text(`${home}/name`),
          text(`${home}/vm`),
          text(`${home}/control/shutdown`),
          text(`${home}/memory/target`),
          text(`${home}/memory/static-max`),
          introduced(domid),
        ]);
        const row = used.get(domid);
        return {
          domid,
          name,
          uuid: /^\/vm\/([0-9a-f-]{36})/i.exec(vm ?? '')?.[1] ?? null,
          introduced: served,
          shutdown: shutdown === '' ? null : shutdown,
          memory: { target_kib: number(target), max_kib: number(max) },
          devices: ends.get(domid) ?? [],
          ...(row !== undefined && { quotas: quotasOf(row) }),
        };
      }),
  );
}

function endsByDomain(devices: readonly Device[]): Map<number, DomainDevice[]> {
  const ends = new Map<number, DomainDevice[]>();
  for (const { kind, devid, frontend, backend } of devices) {
    for (const [role, own, other] of [
      ['frontend', frontend, backend],
      ['backend', backend, frontend],
    ] as const) {
      const list = ends.get(own.domid) ?? [];
      list.push({ kind, devid, role, other: other.domid, state: own.state, other_state: other.state });
      ends.set(own.domid, list);
    }
  }
  return ends;
}

function number(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function quotasOf(row: Fields): Record<string, Quota> {
  return Object.fromEntries(
    Object.entries(row).filter((entry): entry is [string, Quota] => typeof entry[1] === 'object'),
  );
}
