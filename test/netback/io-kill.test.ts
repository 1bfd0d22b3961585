// A backend that dies between any two of its stores into a ring: whoever attaches finds each request or its response, never half of it; every
// request is answered once, in the order of the ring, and nothing is taken for a request that was none.
import { describe, expect, test } from 'vitest';
import {
  CTRL_SLOT_BYTES,
  RX_SLOT_BYTES,
  TX_RESPONSE_BYTES,
  TX_SLOT_BYTES,
} from '../../netback/vif/core/netif.ts';
import { NONE } from '../../netback/vif/core/packets.ts';
import { BackRing } from '../../netback/vif/io/ring.ts';
import { Front } from '../../osdep/ring/slotring.ts';
import { RingRecord } from '../../xenstored/client/ringrecord.ts';
import { dying, dyingGnttab, killedAt, sharedPage } from '../osdep/dying.ts';

const REQUEST = 0x40;
const RESPONSE = 0x80;

describe.each([
  ['tx', TX_SLOT_BYTES, TX_RESPONSE_BYTES],
  ['rx', RX_SLOT_BYTES, RX_SLOT_BYTES],
  ['control', CTRL_SLOT_BYTES, CTRL_SLOT_BYTES],
] as const)('a %s ring', (name, slotBytes, responseBytes) => {
  interface Scene {
    readonly front: Front;
    readonly record: Uint8Array;
    attach(): BackRing;
  }

  function scene(): Scene {
    const { control, domid, shared } = sharedPage();
    const front = Front.init(shared.bytes, slotBytes);
    const gnttab = dyingGnttab(control.openGnttab());
    const record = dying(new Uint8Array(3 * 4096));
    const ring = { name, gnttab, domid, ringRef: shared.refs[0]!, slotBytes, responseBytes };
    return { front, record, attach: () => new BackRing({ ...ring, record: new RingRecord(record) }) };
  }

  /** Answers all that is there, in two goes. */
  function serve(ring: BackRing): void {
    for (const limit of [2, Number.POSITIVE_INFINITY]) {
      const count = ring.take(limit);
      expect(count).not.toBe(NONE);
      for (let i = 0; i < count; i++) {
        const request = ring.requests.subarray(i * slotBytes, (i + 1) * slotBytes);
        // Every byte of it says what it is: a slot that is half an answer shows.
        const id = request[0]! & 0x3f;
        expect(request).toEqual(new Uint8Array(slotBytes).fill(REQUEST | id));
        ring.response.fill(RESPONSE | id);
        ring.answer();
      }
      ring.publish();
    }
  }

  test('dies at each store', () => {
    for (let store = 0; ; store++) {
      const { front, attach } = scene();
      const answered: number[] = [];
      const slot = new Uint8Array(slotBytes);
      const collect = (): void => {
        const there = front.unconsumed();
        expect(there.ok).toBe(true);
        for (let left = there.ok ? there.slots : 0; left > 0; left--) {
          front.take(slot);
          const id = slot[0]! & 0x3f;
          expect(slot.subarray(0, responseBytes)).toEqual(new Uint8Array(responseBytes).fill(RESPONSE | id));
          answered.push(id);
        }
      };
      for (let id = 1; id <= 5; id++) front.request(slot.fill(REQUEST | id));
      front.publish();
      const first = attach();
      const killed = killedAt(store, () => serve(first));
      collect();
      // The second may be killed too, while it puts things right.
      let second: BackRing | undefined;
      for (let again = 0; second === undefined; again++)
        killedAt(again, () => {
          second = attach();
        });
      serve(second);
      collect();
      expect(answered, `killed at store ${store}`).toEqual([1, 2, 3, 4, 5]);
      if (!killed) {
        expect(store).toBeGreaterThan(10 * responseBytes);
        return;
      }
    }
  });

  test('what a record says is not said where the guest has gone back on his requests', () => {
    const { front, record, attach } = scene();
    front.request(new Uint8Array(slotBytes));
    front.publish();
    const said = new RingRecord(record);
    for (let i = 0; i < 2; i++) said.add(new Uint8Array(responseBytes));
    said.seal(2);
    const ring = attach();
    expect(front.unconsumed()).toEqual({ ok: true, slots: 0 });
    expect(ring.take(9)).toBe(1);
  });
});
