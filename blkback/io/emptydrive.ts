/**
 * A drive without a medium: every request fails before it comes here. For removable disks whose medium is out.
 */
import { noMedium } from '../core/disk.ts';
import type { Medium, MediumQueue } from './medium.ts';

export const emptyDrive: Medium = {
  name: 'an empty drive',
  disk: noMedium,
  physicalSectorSize: 512,
  discard: undefined,
  lock: () => true,
  refresh: () => {},
  queue: () => noQueue,
  close: async () => {},
};

const never = (): never => {
  throw new Error('a transfer without a medium');
};

const noQueue: MediumQueue = {
  depth: 0,
  manner: 'nothing to transfer',
  room: 0,
  read: never,
  write: never,
  add: never,
  flush: never,
  discard: never,
  secureDiscard: never,
  advance: () => {},
  ready: false,
  waking: true,
  visible: true,
  close: async () => {},
};
