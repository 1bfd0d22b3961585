/**
 * The client against everything that it may meet: our core, over a socket's and a ring's bytes, our
 * daemon on a simulated machine, and the distribution's daemons over their sockets.
 */
import { describe, it } from 'vitest';
import { at } from '../../xenstored/client/address.ts';
import { type Connector, connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { type ClientSupports, clientSuite, overLink } from '../conformance/client.ts';
import { startCore } from '../conformance/corehost.ts';
import { type Peer, peerMissing, startC, startOx } from '../conformance/peers.ts';
import { SimHost } from '../conformance/simhost.ts';
import { bootGuest } from './client-guest.ts';

clientSuite(
  'the core, over a socket',
  async () => {
    const host = await startCore({});
    return { connector: overLink(() => host.connect()), stop: () => host.stop() };
  },
  { privileged: true, today: true, conflicts: true },
);

clientSuite(
  'the core, as a guest over its ring',
  async () => {
    const host = await startCore({});
    const dom0 = await connect({ connector: overLink(() => host.connect()) });
    let domid = 0;
    // A ring has one client: each connection is another guest's.
    const connector = overLink(async () => {
      domid++;
      await host.addDomain(domid);
      await dom0.transaction(async (tx) => {
        await tx.mkdir(`/local/domain/${domid}`);
        await tx.setPerms(`/local/domain/${domid}`, [`n${domid}`]);
      });
      await dom0.introduce(domid, 1, 1);
      return host.ring(domid);
    });
    return { connector, stop: () => host.stop() };
  },
  { privileged: false, today: true, conflicts: true },
);

clientSuite(
  'our daemon, over its socket',
  async () => {
    const host = await SimHost.start([]);
    return { connector: at(host.socketPath), stop: () => host.stop() };
  },
  { privileged: true, today: true, conflicts: true },
);

clientSuite(
  'our daemon, as a guest over its own ring',
  async () => {
    const host = await SimHost.start([]);
    const dom0 = await connect({ path: host.socketPath });
    const connector: Connector = {
      name: 'ring',
      connect: async (user) => ownRing(await bootGuest(host, dom0)).connect(user),
    };
    return { connector, stop: () => host.stop() };
  },
  { privileged: false, today: true, conflicts: true },
);

onPeer('the C daemon of 4.17', peerMissing('c417'), startC, {
  privileged: true,
  today: false,
  conflicts: true,
});
onPeer('oxenstored of 4.17', peerMissing('ox'), startOx, {
  privileged: true,
  today: false,
  conflicts: false,
});

function onPeer(
  name: string,
  missing: string | undefined,
  start: () => Promise<Peer>,
  supports: ClientSupports,
): void {
  if (missing) {
    describe(name, () => it.skip(`not run: ${missing}`));
    return;
  }
  clientSuite(
    name,
    async () => {
      const peer = await start();
      return { connector: at(peer.socketPath), stop: () => peer.stop() };
    },
    supports,
  );
}
