// A guest's rings on their own, in memory: whatever an honest backend does, packets come as they were and pages come back; whatever a hostile one writes, it is
// a complaint or a packet within its bounds, and never a page that is lent twice.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { u16, u32 } from '../../netback/vif/core/netif.ts';
import { type FrameMeta, noFrames } from '../../netback/vif/front/meta.ts';
import { Pump } from '../../netback/vif/front/pump.ts';
import { Receive } from '../../netback/vif/front/receive.ts';
import { Transmit } from '../../netback/vif/front/transmit.ts';
import type { Gntshr, SharedPages } from '../../osdep/gntshr.ts';
import { Back } from '../../osdep/ring/slotring.ts';
import { filled, sent } from './front-backend.ts';

const PAGE = 4096;

/** Pages that are granted by numbers that follow each other. */
class Memory {
  readonly pages: Uint8Array[] = [];
  readonly gntshr: Pick<Gntshr, 'sharePages'> = {
    sharePages: (_domid, count) => {
      const first = this.pages.length;
      const bytes = new Uint8Array(count * PAGE);
      const page = (index: number): Uint8Array => bytes.subarray(index * PAGE, (index + 1) * PAGE);
      for (let index = 0; index < count; index++) this.pages.push(page(index));
      const refs = Array.from({ length: count }, (_, index) => first + index);
      return { pages: count, writable: true, bytes, page, refs, unmap() {} } satisfies SharedPages;
    },
  };

  transmit(): { readonly tx: Transmit; readonly back: Back } {
    const tx = new Transmit({ gntshr: this.gntshr as Gntshr, backendDomid: 0, counts: noFrames() });
    return { tx, back: Back.attach(this.pages[tx.ringRef]!, 12) };
  }

  receive(onPacket: (packet: Receive) => void): { readonly rx: Receive; readonly back: Back } {
    const rx = new Receive({
      gntshr: this.gntshr as Gntshr,
      backendDomid: 0,
      counts: noFrames(),
      takesGso: (type) => type === 1 || type === 2,
      takesHash: () => true,
      onPacket,
    });
    return { rx, back: Back.attach(this.pages[rx.ringRef]!, 8) };
  }
}

function taken(back: Back, slotBytes: number): Uint8Array[] {
  const there = back.unconsumed();
  if (!there.ok) throw new Error('the frontend has broken its ring');
  return Array.from({ length: there.slots }, () => {
    const slot = new Uint8Array(slotBytes);
    back.take(slot);
    return slot;
  });
}

/** What an honest backend reads out of slots: the frames, and the ids that it has to answer. */
function read(memory: Memory, slots: readonly Uint8Array[]): { frames: Uint8Array[]; answers: Uint8Array[] } {
  const frames: Uint8Array[] = [];
  const answers: Uint8Array[] = [];
  for (let at = 0; at < slots.length; ) {
    const length = u16(slots[at]!, 10);
    let parts: Uint8Array[] = [];
    for (let more = true; more; at++) {
      const slot = slots[at]!;
      const flags = u16(slot, 6);
      more = (flags & 4) !== 0;
      parts = [...parts, memory.pages[u32(slot, 0)]!.subarray(u16(slot, 4), u16(slot, 4) + u16(slot, 10))];
      answers.push(sent(u16(slot, 8), 0));
      if ((flags & 8) !== 0) {
        answers.push(sent(0, 1));
        at++;
      }
    }
    const rest = parts.slice(1).reduce((sum, part) => sum + part.length, 0);
    frames.push(Buffer.concat([parts[0]!.subarray(0, length - rest), ...parts.slice(1)]));
  }
  return { frames, answers };
}

const frameArb = fc
  .tuple(fc.integer({ min: 14, max: 65_535 }), fc.integer({ min: 0, max: 255 }), fc.boolean())
  .map(([length, seed, gso]) => ({
    frame: Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff),
    meta: (gso ? { csum: 'blank', gso: { type: 'tcpv4', size: 1000 } } : {}) as FrameMeta,
  }));

describe('sending', () => {
  test('any frames, answered in any order and number, arrive as they were; all pages come back', () => {
    fc.assert(
      fc.property(fc.array(frameArb, { maxLength: 40 }), fc.infiniteStream(fc.nat(300)), (wanted, chance) => {
        const memory = new Memory();
        const { tx, back } = memory.transmit();
        const random = (limit: number): number => (chance.next().value as number) % limit;
        const unanswered: Uint8Array[] = [];
        const seen: Uint8Array[] = [];
        const answer = (count: number): void => {
          for (let i = 0; i < count; i++) back.respond(unanswered.splice(random(unanswered.length), 1)[0]!);
          back.publish();
          expect(tx.reap()).toBeUndefined();
        };
        for (const { frame, meta } of wanted) {
          while (!tx.put(frame, meta)) answer(1 + random(unanswered.length));
          tx.publish();
          const { frames, answers } = read(memory, taken(back, 12));
          seen.push(...frames);
          unanswered.push(...answers);
        }
        answer(unanswered.length);
        expect(tx.idle).toBe(true);
        expect(tx.room).toBe(256);
        expect(seen.length).toBe(wanted.length);
        for (const [index, { frame }] of wanted.entries())
          expect(Buffer.compare(seen[index]!, frame)).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test('any answers at all are taken or complained of, and no page is lent twice', () => {
    const answerArb = fc.record({
      id: fc.oneof(fc.nat(255), fc.constant(0xffff)),
      status: fc.constantFrom(0, 0, 0, -1, -2, 1, 2, -3),
    });
    fc.assert(
      fc.property(fc.array(answerArb, { maxLength: 200 }), (answers) => {
        const memory = new Memory();
        const { tx, back } = memory.transmit();
        const frame = new Uint8Array(100);
        for (const { id, status } of answers) {
          while (tx.put(frame, {})) {
            // As many as go.
          }
          tx.publish();
          taken(back, 12);
          back.respond(sent(id, status));
          back.publish();
          if (tx.reap() !== undefined) return;
        }
        const lent = answers.length === 0 ? 0 : 255;
        expect(256 - tx.room).toBe(lent);
      }),
      { numRuns: 200 },
    );
  });

  test('a pump gives its pages back, whenever it is stopped', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 14, max: 65_535 }),
        fc.array(fc.nat(20), { maxLength: 20 }),
        (length, steps) => {
          const memory = new Memory();
          const { tx, back } = memory.transmit();
          const frame = Uint8Array.from({ length }, (_, i) => i & 0xff);
          const pump = new Pump(tx, frame, {}, () => {});
          let answers: Uint8Array[] = [];
          let frames = 0;
          pump.send(Number.POSITIVE_INFINITY);
          for (const step of steps) {
            pump.fill();
            tx.publish();
            const out = read(memory, taken(back, 12));
            frames += out.frames.length;
            expect(out.frames.every((each) => Buffer.compare(each, frame) === 0)).toBe(true);
            answers = [...answers, ...out.answers];
            for (const answer of answers.splice(0, step)) back.respond(answer);
            back.publish();
            expect(tx.reap()).toBeUndefined();
          }
          pump.stop();
          for (const answer of answers) back.respond(answer);
          back.publish();
          expect(tx.reap()).toBeUndefined();
          expect(tx.room).toBe(256);
          expect(pump.sent).toBe(frames);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('receiving', () => {
  const packetArb = fc.record({
    parts: fc.array(fc.record({ offset: fc.nat(4000), length: fc.nat(PAGE), failed: fc.boolean() }), {
      minLength: 1,
      maxLength: 18,
    }),
    fails: fc.nat(9),
    gso: fc.boolean(),
    hash: fc.boolean(),
  });

  test('any packets come as they were, but for those with a part that could not be written', () => {
    fc.assert(
      fc.property(fc.array(packetArb, { maxLength: 40 }), (packets) => {
        const memory = new Memory();
        const came: { readonly bytes: Uint8Array; readonly meta: FrameMeta }[] = [];
        const { rx, back } = memory.receive((packet) =>
          came.push({ bytes: packet.bytes(), meta: packet.meta }),
        );
        const posted: Uint8Array[] = [];
        const expected: { readonly bytes: Uint8Array; readonly meta: FrameMeta }[] = [];
        for (const [index, { parts, fails, gso, hash }] of packets.entries()) {
          posted.push(...taken(back, 8));
          const bytes: Uint8Array[] = [];
          let spoilt = false;
          for (const [number, part] of parts.entries()) {
            const slot = posted.shift()!;
            const { offset } = part;
            const length = Math.min(part.length, PAGE - offset);
            const failed = fails === 0 && part.failed;
            spoilt ||= failed;
            const data = memory.pages[u32(slot, 4)]!.subarray(offset, offset + length).fill(
              index * 7 + number,
            );
            bytes.push(data.slice());
            const extras = number === 0 && (gso || hash) ? 8 : 0;
            const more = number < parts.length - 1 ? 4 : 0;
            back.respond(filled(u16(slot, 0), offset, extras | more, failed ? -1 : length));
            if (number > 0) continue;
            if (gso) back.respond(Uint8Array.of(1, hash ? 1 : 0, 0xe8, 3, 1, 0, 0, 0));
            if (hash) back.respond(Uint8Array.of(4, 0, 1, 1, index, 0, 0, 0x80));
            posted.splice(0, (gso ? 1 : 0) + (hash ? 1 : 0));
          }
          const whole = Buffer.concat(bytes);
          const meta = {
            ...(gso ? { gso: { type: 'tcpv4', size: 1000 } as const } : {}),
            ...(hash ? { hash: { type: 1, value: 0x8000_0000 + index } } : {}),
          };
          if (!spoilt && whole.length >= 14 && whole.length <= 0xffff)
            expected.push({ bytes: new Uint8Array(whole), meta });
          back.publish();
          expect(rx.take(1000)).toBe('done');
          rx.publish();
        }
        expect(came.map(({ meta }) => meta)).toEqual(expected.map(({ meta }) => meta));
        for (const [index, { bytes }] of expected.entries())
          expect(Buffer.compare(came[index]!.bytes, bytes)).toBe(0);
        posted.push(...taken(back, 8));
        expect(posted.length).toBe(256);
        expect(posted.map((slot) => u16(slot, 0)).toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: 256 }, (_, id) => id),
        );
      }),
      { numRuns: 40 },
    );
  });

  test('any answers at all are packets within their bounds, or complained of', () => {
    const slotArb = fc.oneof(
      fc.record({ offset: fc.nat(5000), flags: fc.nat(31), status: fc.integer({ min: -3, max: 5000 }) }),
      fc.record({ offset: fc.constant(0), flags: fc.constantFrom(0, 4, 8, 12), status: fc.nat(PAGE) }),
    );
    const rawArb = fc.uint8Array({ minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(fc.oneof(slotArb, slotArb, rawArb), { maxLength: 300 }), (slots) => {
        const memory = new Memory();
        const { rx, back } = memory.receive((packet) => {
          expect(packet.bytes().length).toBe(packet.length);
          expect(packet.length).toBeGreaterThanOrEqual(14);
          expect(packet.length).toBeLessThanOrEqual(0xffff);
        });
        let next = 0;
        for (const slot of slots) {
          taken(back, 8);
          const id = next++ % 256;
          back.respond(slot instanceof Uint8Array ? slot : filled(id, slot.offset, slot.flags, slot.status));
          back.publish();
          if (rx.take(1000) !== 'done') return;
          rx.publish();
        }
      }),
      { numRuns: 300 },
    );
  });
});
