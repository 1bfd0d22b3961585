/**
 * The door for users of the package: a simulated host within one process, stepped or live, and one across processes, with the platform that
 * a domain's process has there.
 */
export * from './client.ts';
export { liveHost, steppedHost } from './local.ts';
export * from './start.ts';
