/**
 * The control ring: what a guest orders about hashing, one request and one response at a time. Some orders have their data in a
 * granted page, which is asked for (`copyGref`, `copyLength`) and handed in as a private copy. Statuses are those of
 * netif.h; grants that stay mapped are not offered.
 */
import {
  CtrlRequest,
  CtrlResponse,
  CtrlStatus,
  CtrlType,
  HASH_FLAGS,
  HashAlgorithm,
  PAGE_BYTES,
  putU16,
  putU32,
  u16,
  u32,
} from './netif.ts';
import { MAPPING_MAX, type Steering } from './steering.ts';
import { KEY_MAX_BYTES } from './toeplitz.ts';

const ENTRY_BYTES = 4;

const CHANGES: ReadonlySet<number> = new Set([
  CtrlType.SET_HASH_ALGORITHM,
  CtrlType.SET_HASH_FLAGS,
  CtrlType.SET_HASH_KEY,
  CtrlType.SET_HASH_MAPPING_SIZE,
  CtrlType.SET_HASH_MAPPING,
]);

export class Control {
  readonly #steering: Steering;
  #id = 0;
  #type = 0;
  /** How many of what, and from where on. */
  #count = 0;
  #offset = 0;
  #status: number = CtrlStatus.SUCCESS;
  #data = 0;
  /** An order may have changed what is ordered; whoever has seen to that sets it to false. */
  changed = false;
  /** What to copy, from the start of the page, before there is a response. */
  copyGref = 0;
  copyLength = 0;

  constructor(steering: Steering) {
    this.#steering = steering;
  }

  /** Takes a request, 16 bytes. True: `copyLength` bytes are wanted first. False: `response` is there. */
  request(slot: Uint8Array): boolean {
    this.#id = u16(slot, CtrlRequest.ID);
    this.#type = u16(slot, CtrlRequest.TYPE);
    const [first, second, third] = [0, 4, 8].map((at) => u32(slot, CtrlRequest.DATA + at)) as [
      number,
      number,
      number,
    ];
    this.copyGref = first;
    this.copyLength = 0;
    this.changed ||= CHANGES.has(this.#type);
    this.#count = second;
    this.#offset = third;
    this.#data = 0;
    this.#status = this.#carryOut(first);
    return this.copyLength > 0;
  }

  #carryOut(value: number): number {
    const steering = this.#steering;
    switch (this.#type) {
      case CtrlType.SET_HASH_ALGORITHM:
        if (value > HashAlgorithm.TOEPLITZ) return CtrlStatus.INVALID_PARAMETER;
        steering.algorithm = value;
        return CtrlStatus.SUCCESS;
      case CtrlType.GET_HASH_FLAGS:
        if (steering.algorithm === HashAlgorithm.NONE) return CtrlStatus.NOT_SUPPORTED;
        this.#data = HASH_FLAGS;
        return CtrlStatus.SUCCESS;
      case CtrlType.SET_HASH_FLAGS:
        if (steering.algorithm === HashAlgorithm.NONE) return CtrlStatus.NOT_SUPPORTED;
        if (value > HASH_FLAGS) return CtrlStatus.INVALID_PARAMETER;
        steering.flags = value;
        return CtrlStatus.SUCCESS;
      case CtrlType.SET_HASH_KEY:
        return this.#askForKey();
      case CtrlType.GET_HASH_MAPPING_SIZE:
        this.#data = MAPPING_MAX;
        return CtrlStatus.SUCCESS;
      case CtrlType.SET_HASH_MAPPING_SIZE:
        if (value > MAPPING_MAX) return CtrlStatus.INVALID_PARAMETER;
        steering.mappingSize = value;
        steering.mapping.fill(0);
        return CtrlStatus.SUCCESS;
      case CtrlType.SET_HASH_MAPPING:
        return this.#askForMapping();
      default:
        return CtrlStatus.NOT_SUPPORTED;
    }
  }

  #askForKey(): number {
    if (this.#count > PAGE_BYTES) return CtrlStatus.INVALID_PARAMETER;
    if (this.#count > KEY_MAX_BYTES) return CtrlStatus.BUFFER_OVERFLOW;
    this.copyLength = this.#count;
    if (this.#count === 0) this.#steering.toeplitz.setKey(new Uint8Array(0));
    return CtrlStatus.SUCCESS;
  }

  /** Each on its own, then the sum, which cannot wrap here (XSA-270). */
  #askForMapping(): number {
    if (this.#count > PAGE_BYTES / ENTRY_BYTES) return CtrlStatus.INVALID_PARAMETER;
    if (this.#count > MAPPING_MAX) return CtrlStatus.BUFFER_OVERFLOW;
    if (this.#offset + this.#count > this.#steering.mappingSize) return CtrlStatus.INVALID_PARAMETER;
    this.copyLength = this.#count * ENTRY_BYTES;
    return CtrlStatus.SUCCESS;
  }

  /** What was asked for: a private copy. Undefined: it could not be had. */
  copied(bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.#status = CtrlStatus.INVALID_PARAMETER;
    else if (this.#type === CtrlType.SET_HASH_KEY)
      this.#steering.toeplitz.setKey(bytes.subarray(0, this.copyLength));
    else this.#setMapping(bytes);
    this.copyLength = 0;
  }

  /** All of it or nothing. */
  #setMapping(bytes: Uint8Array): void {
    const { queues, mapping } = this.#steering;
    for (let i = 0; i < this.#count; i++)
      if (u32(bytes, i * ENTRY_BYTES) >= queues) {
        this.#status = CtrlStatus.INVALID_PARAMETER;
        return;
      }
    for (let i = 0; i < this.#count; i++) mapping[this.#offset + i] = u32(bytes, i * ENTRY_BYTES);
  }

  /** The response, 16 bytes: the last four are nothing. */
  response(into: Uint8Array): void {
    into.fill(0, 0, 16);
    putU16(into, CtrlResponse.ID, this.#id);
    putU16(into, CtrlResponse.TYPE, this.#type);
    putU32(into, CtrlResponse.STATUS, this.#status);
    putU32(into, CtrlResponse.DATA, this.#data);
  }
}
