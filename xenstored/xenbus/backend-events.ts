/**
 * What goes into a backend's machine and what comes out of it: events, effects, and the state between them. `K` is whatever the service's
 * reader has made of the frontend's keys, checked.
 *
 * The service promises: the effects of a step that touch the store (`write`, `error`) are done, in order, before it reads the value for
 * the next event; a state is written only over the one that the effect names, which the toolstack may have replaced or removed; of each
 * watched node the present value is handed in, however many events there were; each job (`prepare`, `read`, `connect`, `reconfigure`, `disconnect`) is
 * answered exactly once. Watched are the own state, `online` and `hotplug-status`, and the frontend's state.
 */
import type { XenbusState } from './state.ts';

export interface BackendOptions {
  /** `script`: wait for a hotplug script to write `hotplug-status`; `self`: write it with InitWait, there is no script to wait for. */
  readonly hotplug: 'script' | 'self';
  /** Whether the kind of device has changes at run time (states 7 and 8). */
  readonly reconfigures: boolean;
  /** Rings are let go of before the frontend is told that this end closes, too: socket devices. Default: when the frontend has closed. */
  readonly letsGoFirst?: boolean;
}

/** What a service finds when it meets a device, new or left by its predecessor. Missing nodes: Unknown, undefined; `online` missing is 0. */
export interface BackendFound {
  readonly own: XenbusState;
  readonly front: XenbusState;
  readonly online: boolean;
  readonly hotplugStatus: string | undefined;
}

/** Keys for the own directory, with their values. */
export type Keys = Readonly<Record<string, string>>;

export type BackendEvent<K> =
  /** The frontend's state node; Unknown when it or its directory is missing. */
  | { readonly kind: 'front'; readonly state: XenbusState }
  /** The own state node; Unknown when the directory has been removed. */
  | { readonly kind: 'own'; readonly state: XenbusState }
  | { readonly kind: 'online'; readonly online: boolean }
  | { readonly kind: 'hotplug'; readonly status: string | undefined }
  /** Answers `prepare`: the features to publish with InitWait. */
  | { readonly kind: 'prepared'; readonly features: Keys }
  /** Answers `read`: the frontend's keys, checked. */
  | { readonly kind: 'keys'; readonly keys: K }
  /** Answers `connect`: the properties to publish with Connected. */
  | { readonly kind: 'connected'; readonly properties: Keys }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'reconfigured' }
  /** Answers any of prepare, read, connect, reconfigure: nothing is left behind of what it tried. */
  | { readonly kind: 'failed'; readonly error: string }
  /** The data path has stopped itself: a ring or a request that no honest frontend makes, or a backing object that is gone. */
  | { readonly kind: 'broken'; readonly error: string }
  /** The guest's domain is dead: nobody will answer any more. */
  | { readonly kind: 'dead' };

export type BackendEffect<K> =
  /** Acquire what the device needs without a frontend. Done once, unless it fails. */
  | { readonly kind: 'prepare' }
  /** Read and check the frontend's keys. */
  | { readonly kind: 'read' }
  /** Map the rings and bind the ports; `attach`: they are in use, go on where the page says a predecessor was. */
  | { readonly kind: 'connect'; readonly keys: K; readonly attach: boolean }
  | { readonly kind: 'reconfigure' }
  /** Take no more requests, finish those in flight, unmap and unbind. Cannot fail. */
  | { readonly kind: 'disconnect' }
  /** In one transaction: if the state node holds `from`, write the state and the keys; else nothing, and hand in what it holds (`own`). */
  | { readonly kind: 'write'; readonly from: XenbusState; readonly state: XenbusState; readonly keys: Keys }
  /** Read the frontend's state and hand it in: what was read before the last job may be out of date, or of another device of this name. */
  | { readonly kind: 'look' }
  /** One line for the error node of the own domain (`errorPath`). */
  | { readonly kind: 'error'; readonly message: string }
  /** Forget the device: close what `prepare` opened, drop the watches. A directory of its name that is not both Closed and offline is another. */
  | { readonly kind: 'remove' };

/** The whole of a backend between two events, plain and comparable. */
export interface BackendState {
  /** The table's row. */
  readonly own: XenbusState;
  /** What the state node holds, as far as is known. */
  readonly node: XenbusState;
  readonly front: XenbusState;
  readonly online: boolean;
  readonly hotplugged: boolean;
  /** Published with InitWait; undefined: not prepared. */
  readonly features: Keys | undefined;
  readonly properties: Keys;
  /** `lost`: a predecessor's, still in use by the frontend. `broken`: not to be served. */
  readonly rings: 'none' | 'lost' | 'mapped' | 'broken';
  readonly job: 'none' | 'prepare' | 'read' | 'connect' | 'reconfigure' | 'disconnect';
  /** Whether the frontend's state has been read since the last `look`. */
  readonly heard: boolean;
  /** The backend asked for the closing, and the frontend has not answered. */
  readonly insists: boolean;
  readonly life: 'here' | 'dead' | 'vanished' | 'gone';
}
