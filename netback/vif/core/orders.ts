/**
 * What a guest has ordered of its interface and would not order again, as bytes: how packets are spread over its queues, and which groups it
 * listens to. Whoever serves it after us needs that. What does not add up is taken for nothing ordered.
 */
import { MULTICAST_MAX, type MulticastFilter } from './multicast.ts';
import { HASH_FLAGS, HashAlgorithm, putU16, u16 } from './netif.ts';
import { MAPPING_MAX, type Steering } from './steering.ts';
import { KEY_MAX_BYTES } from './toeplitz.ts';

const ALGORITHM = 0;
const FLAGS = 1;
const MAPPING_SIZE = 2;
const GROUPS = 4;
const KEY = 8;
const MAPPING = KEY + KEY_MAX_BYTES;
const ADDRESSES = MAPPING + MAPPING_MAX * 2;
export const ORDERS_BYTES: number = ADDRESSES + MULTICAST_MAX * 6;

export function putOrders(into: Uint8Array, steering: Steering, groups: MulticastFilter): void {
  into[ALGORITHM] = steering.algorithm;
  into[FLAGS] = steering.flags;
  putU16(into, MAPPING_SIZE, steering.mappingSize);
  putU16(into, GROUPS, groups.count);
  into.set(steering.toeplitz.key, KEY);
  for (let i = 0; i < MAPPING_MAX; i++) putU16(into, MAPPING + i * 2, steering.mapping[i]!);
  into.set(groups.addresses, ADDRESSES);
}

/** Both are as they were made. */
export function takeOrders(from: Uint8Array, steering: Steering, groups: MulticastFilter): void {
  const mappingSize = u16(from, MAPPING_SIZE);
  const count = u16(from, GROUPS);
  const queues = Array.from({ length: MAPPING_MAX }, (_, i) => u16(from, MAPPING + i * 2));
  const known = from[ALGORITHM]! <= HashAlgorithm.TOEPLITZ && from[FLAGS]! <= HASH_FLAGS;
  const fits = mappingSize <= MAPPING_MAX && count <= MULTICAST_MAX;
  if (!known || !fits || queues.some((queue) => queue >= steering.queues)) return;
  steering.algorithm = from[ALGORITHM]!;
  steering.flags = from[FLAGS]!;
  steering.mappingSize = mappingSize;
  steering.mapping.set(queues);
  steering.toeplitz.setKey(from.subarray(KEY, KEY + KEY_MAX_BYTES));
  groups.restore(from.subarray(ADDRESSES, ADDRESSES + count * 6));
}
