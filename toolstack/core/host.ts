/**
 * A host as its file describes it, and the ordered steps that bring it up. The file's shape is that of host.schema.json, beside the
 * shipped hosts. Knows the order, and what each step takes back; not how any of it is done.
 */
import type { Step } from './plan.ts';

export interface HostFile {
  readonly name: string;
  readonly xenstored: {
    /** MiB. */
    readonly memoryMb: number;
    /** A directory's name within the run directory, or `memory`. */
    readonly database: string;
    /** Further flags of the daemon. */
    readonly args: readonly string[];
  };
  /** Left out: none is started. */
  readonly admin?: {
    /** 0: any that is free. */
    readonly port: number;
  };
  readonly guests: readonly GuestFile[];
}

export interface GuestFile {
  readonly name: string;
  /** MiB. */
  readonly memoryMb: number;
  readonly vcpus: number;
  /** Names of the guests that it greets. */
  readonly greets: readonly string[];
}

export type HostAction =
  | { readonly kind: 'start' | 'stop'; readonly process: 'hypervisor' | 'xenstored' | 'admin' }
  | {
      readonly kind:
        | 'openControl'
        | 'closeControl'
        | 'createStoreDomain'
        | 'destroyStoreDomain'
        | 'connectStore'
        | 'disconnectStore';
    }
  | { readonly kind: 'createGuest' | 'destroyGuest' | 'startGuest' | 'stopGuest'; readonly guest: GuestFile }
  | { readonly kind: 'acquaint' };

/** What a host file cannot say by its shape alone; an empty list: it is sound. */
export function mistakes(host: HostFile): string[] {
  const names = host.guests.map(({ name }) => name);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  const unknown = host.guests.flatMap(({ name, greets }) =>
    greets
      .filter((other) => other === name || !names.includes(other))
      .map((other) => `guest ${name} greets ${other}, which is no other guest`),
  );
  return [...twice.map((name) => `there are two guests called ${name}`), ...unknown];
}

export function hostPlan(host: HostFile): Step<HostAction>[] {
  const guests = host.guests;
  return [
    {
      name: 'start the hypervisor',
      run: { kind: 'start', process: 'hypervisor' },
      undo: { kind: 'stop', process: 'hypervisor' },
    },
    { name: 'become the control domain', run: { kind: 'openControl' }, undo: { kind: 'closeControl' } },
    {
      name: 'create the domain of the store',
      run: { kind: 'createStoreDomain' },
      undo: { kind: 'destroyStoreDomain' },
    },
    {
      name: 'start xenstored',
      run: { kind: 'start', process: 'xenstored' },
      undo: { kind: 'stop', process: 'xenstored' },
    },
    { name: 'connect to the store', run: { kind: 'connectStore' }, undo: { kind: 'disconnectStore' } },
    ...(host.admin ? [adminStep] : []),
    ...guests.map(
      (guest): Step<HostAction> => ({
        name: `create guest ${guest.name}`,
        run: { kind: 'createGuest', guest },
        undo: { kind: 'destroyGuest', guest },
      }),
    ),
    // Only now are all their ids known.
    { name: 'tell the guests of each other', run: { kind: 'acquaint' } },
    ...guests.map(
      (guest): Step<HostAction> => ({
        name: `start guest ${guest.name}`,
        run: { kind: 'startGuest', guest },
        undo: { kind: 'stopGuest', guest },
      }),
    ),
  ];
}

const adminStep: Step<HostAction> = {
  name: 'start xenstore-admin',
  run: { kind: 'start', process: 'admin' },
  undo: { kind: 'stop', process: 'admin' },
};
