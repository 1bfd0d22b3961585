// A guest's socket driver with the backend of the house, in one process: the suite of all socket drivers, over the guests' own network. With the
// extension, and as Linux's backend and frontend would have it.
import { type SockfrontOptions, sockfront } from '../../netback/xensock/front/device.ts';
import type { XenSock } from '../../netback/xensock/front/xensock.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { type DriverUnderTest, socketSuite } from '../conformance/sockets.ts';
import { bootBareGuest } from '../xenstored/client-guest.ts';
import { SockHost } from './sock-io-host.ts';
import { attachSock } from './sock-rawguest.ts';

/** A guest's driver, connected; stopping it stops the host. */
async function driven(options: Partial<SockfrontOptions>): Promise<DriverUnderTest> {
  const host = await SockHost.start();
  const { domid, platform, store } = await bootBareGuest(host.sim, host.dom0);
  let found: (driver: XenSock) => void = () => {};
  const driver = new Promise<XenSock>((resolve) => {
    found = resolve;
  });
  const front = sockfront({ platform, onDriver: (_, made) => found(made), ...options });
  const running = await runFrontends(front, { store });
  await attachSock(host.dom0, domid);
  return {
    driver: await driver,
    async stop() {
      await running.close();
      await store.close();
      await host.stop();
    },
  };
}

socketSuite('xensock', () => driven({ connectOrder: 5, acceptOrder: 4 }), {
  halfClose: true,
  names: true,
  options: true,
  datagrams: true,
  ipv6: true,
  bytes: 200_000,
});

socketSuite('xensock without the extension', () => driven({ extension: false }), {
  halfClose: false,
  names: false,
  options: false,
  datagrams: false,
  ipv6: true,
  bytes: 100_000,
});
