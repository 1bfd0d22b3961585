/**
 * The handshake as data: what a backend and a frontend do in every pair of states. The machines (backend.ts, frontend.ts) look here for
 * every decision, and README.md's tables are printed from here. Rows are the own state, columns the other end's, 0 to 8
 * (xen/include/public/io/xenbus.h); the pair alone decides, never the number of events.
 */
import type { XenbusState } from './state.ts';

/** What a backend does; the words are explained in `backendActs`. */
export type BackendAct =
  | 'wait'
  | 'open'
  | 'connect'
  | 'serve'
  | 'reconfigure'
  | 'resume'
  | 'close'
  | 'drain'
  | 'closed'
  | 'reopen'
  | 'refuse'
  | 'remove';

/** A backend insists while it has asked for the closing itself and the frontend has not answered with 5, 6 or 0. */
export const backendActs: Readonly<Record<BackendAct, string>> = {
  wait: 'nothing; it is for the frontend, the toolstack or nobody to move',
  open: 'prepare the device, publish the features, go to 2',
  connect:
    'once hotplug-status is `connected`: read and check the keys, map the rings, bind the ports, publish the properties, go to 4',
  serve: 'go on; a service that was restarted maps the rings and binds the ports again, and writes nothing',
  reconfigure: 'read the changed keys, go to 8 (a device that cannot: refuse)',
  resume: 'the change is done on both sides: back to 4',
  close: 'go to 5; the rings are served until the frontend has closed',
  drain: 'go on serving (restarted: map again) until the frontend has closed',
  closed: 'finish what is in flight, unmap and unbind, then go to 6',
  reopen:
    'unmap and unbind what there is, then as open (insisting: drain if the frontend is at 3 or 4, else wait)',
  refuse: 'write the error node, unmap and unbind, go to 5 and wait for the answer',
  remove: 'unmap and unbind what there is, forget the device',
};

type BackendRow = readonly [
  BackendAct,
  BackendAct,
  BackendAct,
  BackendAct,
  BackendAct,
  BackendAct,
  BackendAct,
  BackendAct,
  BackendAct,
];

/** The states that a backend has. A restarted one that finds 2 or 3 begins again with 1, and 7 is taken for 8. */
export type BackendOwn = 1 | 2 | 4 | 5 | 6 | 8;

/** `online` is 1, the normal case: the device stays when its frontend closes. */
const online: Readonly<Record<BackendOwn, BackendRow>> = {
  1: ['closed', 'open', 'open', 'open', 'open', 'close', 'closed', 'refuse', 'refuse'],
  2: ['closed', 'wait', 'wait', 'connect', 'connect', 'close', 'closed', 'refuse', 'refuse'],
  4: ['closed', 'reopen', 'reopen', 'serve', 'serve', 'close', 'closed', 'reconfigure', 'refuse'],
  5: ['closed', 'reopen', 'reopen', 'reopen', 'reopen', 'drain', 'closed', 'drain', 'drain'],
  6: ['wait', 'reopen', 'reopen', 'reopen', 'reopen', 'wait', 'wait', 'wait', 'wait'],
  8: ['closed', 'reopen', 'reopen', 'resume', 'resume', 'close', 'closed', 'serve', 'refuse'],
};

/** `online` is 0: the toolstack detaches the device. */
const offline: Readonly<Record<BackendOwn, BackendRow>> = {
  1: ['closed', 'closed', 'closed', 'close', 'close', 'close', 'closed', 'close', 'close'],
  2: ['closed', 'closed', 'closed', 'close', 'close', 'close', 'closed', 'close', 'close'],
  4: ['closed', 'closed', 'closed', 'close', 'close', 'close', 'closed', 'close', 'close'],
  5: ['closed', 'closed', 'closed', 'drain', 'drain', 'drain', 'closed', 'drain', 'drain'],
  6: ['remove', 'remove', 'remove', 'remove', 'remove', 'remove', 'remove', 'remove', 'remove'],
  8: ['closed', 'closed', 'closed', 'close', 'close', 'close', 'closed', 'close', 'close'],
};

export const backendTable: Readonly<Record<'online' | 'offline', Readonly<Record<BackendOwn, BackendRow>>>> =
  {
    online,
    offline,
  };

/** Every change of its state that a backend makes; `2 -> 2` is a restart that publishes again. */
export const backendEdges: Readonly<Record<XenbusState, readonly XenbusState[]>> = {
  0: [],
  1: [2, 5, 6],
  2: [2, 4, 5, 6],
  3: [2, 5, 6],
  4: [2, 5, 6, 8],
  5: [2, 6],
  6: [2, 5],
  7: [2, 4, 5, 6, 8],
  8: [2, 4, 5, 6],
};

/** What a frontend does; the words are explained in `frontendActs`. */
export type FrontendAct = 'wait' | 'share' | 'reset' | 'activate' | 'serve' | 'leave' | 'closed' | 'release';

export const frontendActs: Readonly<Record<FrontendAct, string>> = {
  wait: 'nothing; it is for the backend to move',
  share: 'allocate rings and ports, publish them, go to 3 (vif: to 4)',
  reset: 'the backend still serves a predecessor of ours (kexec): go to 5, and by 6 back to 1',
  activate: 'read and check the properties, start, go to 4',
  serve: 'go on; when the backend writes its 4 again, read the properties again (a disk has been resized)',
  leave: 'go to 5 (from 1, where nothing is shared, to 6); send no more requests, wait for those in flight',
  closed: 'when nothing is in flight: go to 6',
  release:
    'end the grants, close the ports; then stay, or go to 1 if the closing was a reset or open was called',
};

type FrontendRow = readonly [
  FrontendAct,
  FrontendAct,
  FrontendAct,
  FrontendAct,
  FrontendAct,
  FrontendAct,
  FrontendAct,
  FrontendAct,
  FrontendAct,
];

/** A frontend's own states; 3 is "published, but not yet started", whose state node says 4 for a vif. */
export type FrontendOwn = 1 | 3 | 4 | 5 | 6;

export const frontendTable: Readonly<Record<FrontendOwn, FrontendRow>> = {
  1: ['wait', 'wait', 'share', 'share', 'reset', 'leave', 'wait', 'reset', 'reset'],
  3: ['leave', 'wait', 'wait', 'wait', 'activate', 'leave', 'leave', 'wait', 'activate'],
  4: ['leave', 'wait', 'wait', 'wait', 'serve', 'leave', 'leave', 'wait', 'wait'],
  5: ['closed', 'wait', 'wait', 'wait', 'wait', 'closed', 'closed', 'wait', 'wait'],
  6: ['release', 'wait', 'wait', 'wait', 'wait', 'wait', 'release', 'wait', 'wait'],
};

/** Every change of its state that a frontend makes. */
export const frontendEdges: Readonly<Record<XenbusState, readonly XenbusState[]>> = {
  0: [],
  1: [3, 4, 5, 6],
  2: [3, 4, 5, 6],
  3: [4, 5],
  4: [4, 5],
  5: [6],
  6: [1],
  7: [5],
  8: [5],
};
