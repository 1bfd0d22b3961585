/**
 * The states of a device's two ends, with Xen's names and numbers (xen/include/public/io/xenbus.h). Knows neither what a state means for
 * one kind of device nor who may write it.
 */
export const XenbusState = {
  /** The node is missing or holds no state. */
  Unknown: 0,
  /** What the toolstack writes into both ends. */
  Initialising: 1,
  /** Backend: features are published, the frontend (or the hotplug script) is awaited. */
  InitWait: 2,
  /** Frontend: rings and ports are published, the backend is awaited. */
  Initialised: 3,
  Connected: 4,
  /** Closing, or asking the other end to close; the rings may still be in use. */
  Closing: 5,
  /** Nothing is shared any more. */
  Closed: 6,
  /** Frontend: asks for a change without a disconnection (netif's XDP headroom). */
  Reconfiguring: 7,
  /** Backend: the change is made. */
  Reconfigured: 8,
} as const;

export type XenbusState = (typeof XenbusState)[keyof typeof XenbusState];

/** All states in the order of their numbers: `states[4]` is Connected. */
export const states: readonly XenbusState[] = Object.values(XenbusState);

const names: readonly string[] = Object.keys(XenbusState);

/** `Connected` for 4. */
export function stateName(state: XenbusState): string {
  return names[state]!;
}

/** What a state node says. A missing node and one that the other end has filled with something else are both Unknown, as everywhere. */
export function parseState(value: string | undefined): XenbusState {
  return value !== undefined && /^[0-8]$/.test(value) ? states[Number(value)]! : XenbusState.Unknown;
}
