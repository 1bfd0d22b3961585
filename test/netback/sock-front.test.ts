// A guest's socket driver with the backend of the house, in one process: the suite of all socket drivers, over the guests' own network. With the
// extension, and as Linux's backend and frontend would have it.
import type { SockfrontOptions } from '../../netback/xensock/front/device.ts';
import { type DriverUnderTest, socketSuite } from '../conformance/sockets.ts';
import { SockHost } from './sock-io-host.ts';

/** A guest's driver, connected; stopping it stops the host. */
async function driven(options: Partial<SockfrontOptions>): Promise<DriverUnderTest> {
  const host = await SockHost.start();
  return { driver: await host.driver(options), stop: () => host.stop() };
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
