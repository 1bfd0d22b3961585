/**
 * The store's conformance rows, on the core alone and on the distribution's daemons: what ours answers beside what Xen's answer, from one
 * table. `STUBDOM0_XENSTORED_HEAD=PATH` adds a build of today's C daemon, which no distribution has yet.
 */
import { describe, it } from 'vitest';
import { startCore } from '../conformance/corehost.ts';
import { peerMissing, startC, startOx, startXenstored } from '../conformance/peers.ts';
import { type Factory, type Supports, storeSuite } from '../conformance/store.ts';

const everything = { rings: true, pages: true, options: true };

storeSuite('ours, the core', startCore, { column: 'ours', ...everything });

onPeer('xenstored of 4.17', peerMissing('c417'), ({ args = [] }) => startC({ args }), 'c417');
onPeer('oxenstored of 4.17', peerMissing('ox'), ({ config = [] }) => startOx({ config }), 'ox');

const head = process.env.STUBDOM0_XENSTORED_HEAD;
if (head) {
  onPeer("today's xenstored", peerMissing(head), ({ args = [] }) => startXenstored(head, { args }), 'chead');
}

/** The suite, or one visible line that says why not. */
function onPeer(
  name: string,
  missing: string | undefined,
  factory: Factory,
  column: Supports['column'],
): void {
  if (missing) describe(name, () => it.skip(`not run: ${missing}`));
  else storeSuite(name, factory, { column, ...everything });
}
