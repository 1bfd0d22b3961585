/**
 * A client of any xenstored: ours, Xen's C daemon, oxenstored, over a socket, a device or a ring. The package's door
 * `stubdom0/client`; README.md beside it shows it in use.
 *
 *     await using store = await connect();
 *     await store.write('/demo/hello', 'world');
 *     for await (const { path } of store.watch('/demo')) console.log(path);
 */
export { Feature } from '../wire/ops.ts';
export * from './backend.ts';
export { type ConnectOptions, connect } from './connect.ts';
export * from './error.ts';
export * from './frontend.ts';
export * from './ring.ts';
export * from './store.ts';
export * from './transport.ts';
