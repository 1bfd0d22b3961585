// The handshake's world between two moves: a store with one device, the processes at both ends, what is mapped and granted, watches that
// have fired and not been looked at, and the faults that may yet happen. Plain data.
import type { BackendState } from '../../xenstored/xenbus/backend-events.ts';
import type { XenbusState } from '../../xenstored/xenbus/state.ts';

/** What a frontend of some make does: its node, its grants. `grants` makes a new set and ends none. */
export type Deed =
  | {
      readonly kind: 'write';
      readonly from?: XenbusState;
      readonly state: XenbusState;
      readonly publishes: boolean;
    }
  | { readonly kind: 'grant' | 'release' | 'look' | 'gone' };

/** A frontend of some make; its state S is plain data. Undefined: the event does nothing. */
export interface FrontMake<S> {
  readonly boot: (own: XenbusState, back: XenbusState) => readonly [S, readonly Deed[]];
  readonly back: (self: S, back: XenbusState) => readonly [S, readonly Deed[]];
  readonly own: (self: S, own: XenbusState) => readonly [S, readonly Deed[]];
  /** What it may do of itself: finish a job, close, open again. */
  readonly moves: (self: S) => readonly (readonly [name: string, optional: boolean, S, readonly Deed[]])[];
}

/** How often each fault or decision may happen. */
export interface Budget {
  readonly killBack: number;
  readonly killFront: number;
  readonly fail: number;
  readonly detach: number;
  /** libxl closes the disks of a device model itself. */
  readonly closeForIt: number;
  readonly force: number;
  readonly death: number;
  readonly attach: number;
  readonly break: number;
}

export interface World<S> {
  readonly own: XenbusState;
  readonly front: XenbusState;
  readonly online: boolean;
  readonly script: boolean;
  /** The set of grants that the frontend's keys name; 0: no keys. */
  readonly keys: number;
  readonly back: BackendState | undefined;
  readonly guest: S | undefined;
  readonly guestDead: boolean;
  readonly frontGone: boolean;
  readonly mapped: number;
  readonly reading: number;
  readonly granted: number;
  readonly sets: number;
  readonly dirty: {
    readonly own: boolean;
    readonly front: boolean;
    readonly online: boolean;
    readonly script: boolean;
    readonly dead: boolean;
    readonly guestOwn: boolean;
    readonly guestBack: boolean;
  };
  readonly toolstack: 'up' | 'detaching' | 'removed';
  /** A device has been removed by force: its rings may be in use for some time yet. */
  readonly forced: boolean;
  readonly backGone: boolean;
  readonly errors: boolean;
  readonly left: Budget;
}

export const clean: World<never>['dirty'] = {
  own: false,
  front: false,
  online: false,
  script: false,
  dead: false,
  guestOwn: false,
  guestBack: false,
};

export const none: Budget = {
  killBack: 0,
  killFront: 0,
  fail: 0,
  detach: 0,
  closeForIt: 0,
  force: 0,
  death: 0,
  attach: 0,
  break: 0,
};
