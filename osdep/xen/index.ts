/** The door to real Xen, for users of the package. */
export { type XenOptions, xenIsThere, xenPlatform } from './platform.ts';
