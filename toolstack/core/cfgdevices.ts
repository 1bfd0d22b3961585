/**
 * Devices in the words of xl.cfg and of `block-attach` and its like: what a disk, a vif or sockets are to be, or what was expected.
 */
import type { DiskConfig, SocketsConfig, VifConfig } from './config.ts';

/** `ignored`: parts that mean something to xl and are not acted upon here. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T; readonly ignored: readonly string[] }
  | { readonly ok: false; readonly error: string };

/** One disk; several words are parts of it, as `block-attach` takes them. */
export declare function parseDisk(words: readonly string[]): Parsed<DiskConfig>;
/** One vif: `mac=...,bridge=...`, or a word each. */
export declare function parseVif(words: readonly string[]): Parsed<VifConfig>;
/** `backend=DOM`, or nothing. */
export declare function parseSockets(words: readonly string[]): Parsed<SocketsConfig>;
