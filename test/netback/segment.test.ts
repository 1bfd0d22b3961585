// Large TCP packets cut into segments: put together again they are what was sent, whatever the sizes; each has checksums that are right by a
// second implementation and by tshark's; what is no TCP, or does not add up, is not cut.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Segmenter } from '../../netback/vif/io/segment.ts';
import { tcpFrame } from './kit.ts';

interface Large {
  readonly frame: Uint8Array;
  readonly ip: number;
  readonly tcp: number;
  readonly data: number;
}

/** A frame as Linux gives one to a card: lengths of the whole, checksum of the pseudo-header. */
function large(shape: {
  readonly four: boolean;
  readonly vlan: boolean;
  readonly options: number;
  readonly bytes: number;
  readonly sequence: number;
  readonly id: number;
  readonly flags: number;
}): Large {
  const { four, vlan, options, bytes, sequence, id, flags } = shape;
  const ends = four ? ['10.0.0.1', '10.0.0.2'] : ['fe80::1', 'fe80::2:3'];
  const start = { source: ends[0]!, sourcePort: 4711, to: ends[1]!, toPort: 80, vlan };
  const ip = vlan ? 18 : 14;
  const tcp = ip + (four ? 20 : 40);
  const data = tcp + 20 + options * 4;
  const frame = Buffer.from(tcpFrame({ ...start, length: data + bytes }));
  if (four) {
    frame.writeUInt16BE(frame.length - ip, ip + 2);
    frame.writeUInt16BE(id, ip + 4);
    frame[ip + 8] = 64;
  } else frame.writeUInt16BE(frame.length - ip - 40, ip + 4);
  frame.writeUInt32BE(sequence, tcp + 4);
  frame[tcp + 12] = (5 + options) << 4;
  frame[tcp + 13] = flags;
  frame.fill(1, tcp + 20, data);
  for (let i = data; i < frame.length; i++) frame[i] = (i * 31 + (i >> 8)) & 0xff;
  return { frame, ip, tcp, data };
}

/** What comes out, each as a frame; undefined: it is not cut. */
function cut(frame: Uint8Array, mss: number, most = 65_535): readonly Buffer[] | undefined {
  const memory = Buffer.alloc(3 * 65_536 + frame.length);
  memory.set(frame, 64);
  const segmenter = new Segmenter();
  if (!segmenter.begin(memory, 64, frame.length, mss, most)) return undefined;
  const to = 2 * 65_536;
  return Array.from({ length: segmenter.count }, (_, index) => {
    memory.fill(0xee, to);
    segmenter.write(index, to);
    return Buffer.from(memory.subarray(to, to + segmenter.lengthOf(index)));
  });
}

/** RFC 1071, word by word; 0xffff over what has its checksum in it. */
function sum(bytes: Uint8Array): number {
  let all = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    all += bytes[at]! * 256 + (bytes[at + 1] ?? 0);
    if (all > 0xffff) all -= 0xffff;
  }
  return all;
}

function checkSegment(segment: Buffer, { ip, tcp }: Large): void {
  const four = segment[ip]! >> 4 === 4;
  if (four) {
    expect(segment.readUInt16BE(ip + 2)).toBe(segment.length - ip);
    expect(sum(segment.subarray(ip, tcp))).toBe(0xffff);
  } else expect(segment.readUInt16BE(ip + 4)).toBe(segment.length - tcp);
  const addresses = four ? segment.subarray(ip + 12, ip + 20) : segment.subarray(ip + 8, ip + 40);
  const length = segment.length - tcp;
  const pseudo = Buffer.concat([addresses, Buffer.from([0, 6, length >> 8, length])]);
  expect(sum(Buffer.concat([pseudo, segment.subarray(tcp)]))).toBe(0xffff);
}

const FIN_PUSH = 0x09;
const CWR = 0x80;

test('put together again they are what was sent', () => {
  const shape = fc.record({
    four: fc.boolean(),
    vlan: fc.boolean(),
    options: fc.integer({ min: 0, max: 10 }),
    bytes: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 6000 }) },
      { weight: 1, arbitrary: fc.constant(65_000) },
    ),
    sequence: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constant(0xffff_ff00)),
    id: fc.integer({ min: 0, max: 0xffff }),
    flags: fc.integer({ min: 0, max: 0xff }),
  });
  fc.assert(
    fc.property(
      shape,
      fc.integer({ min: 48, max: 9000 }),
      fc.integer({ min: 1000, max: 10_000 }),
      (s, mss, most) => {
        const whole = large(s);
        const { frame, ip, tcp, data } = whole;
        const segments = cut(frame, mss, most)!;
        const size = Math.min(mss, most - data);
        expect(segments.length).toBe(Math.max(1, Math.ceil(s.bytes / size)));
        expect(Buffer.concat(segments.map((one) => one.subarray(data)))).toEqual(frame.subarray(data));
        for (const [index, one] of segments.entries()) {
          checkSegment(one, whole);
          expect(one.length).toBeLessThanOrEqual(data + size);
          expect(one.readUInt32BE(tcp + 4)).toBe((s.sequence + index * size) % 2 ** 32);
          if (s.four) expect(one.readUInt16BE(ip + 4)).toBe((s.id + index) & 0xffff);
          const last = index === segments.length - 1;
          const flags = s.flags & (last ? 0xff : ~FIN_PUSH) & (index === 0 ? 0xff : ~CWR);
          expect(one[tcp + 13]).toBe(flags);
          // Everything else of the headers is as it was.
          const masked = Buffer.from(one.subarray(0, data));
          const original = Buffer.from(frame.subarray(0, data));
          for (const bytes of [masked, original]) {
            bytes
              .fill(0, tcp + 4, tcp + 8)
              .fill(0, tcp + 13, tcp + 14)
              .fill(0, tcp + 16, tcp + 18);
            bytes.fill(0, ip + 4, ip + 6);
            if (s.four) bytes.fill(0, ip + 2, ip + 6).fill(0, ip + 10, ip + 12);
          }
          expect(masked).toEqual(original);
        }
      },
    ),
    { numRuns: 30 },
  );
});

test('padding after the end of the packet is not data', () => {
  const { frame, data } = large({
    four: true,
    vlan: false,
    options: 0,
    bytes: 10,
    sequence: 1,
    id: 1,
    flags: 16,
  });
  const padded = Buffer.concat([frame, Buffer.alloc(20, 0x77)]);
  expect(cut(padded, 1448)!.map((one) => one.length)).toEqual([data + 10]);
});

describe('is not cut', () => {
  const whole = large({ four: true, vlan: false, options: 0, bytes: 4000, sequence: 1, id: 1, flags: 16 });
  const changed = (at: number, ...bytes: readonly number[]): Uint8Array => {
    const copy = Buffer.from(whole.frame);
    copy.set(bytes, at);
    return copy;
  };
  test.each<[string, Uint8Array]>([
    ['UDP', changed(whole.ip + 9, 17)],
    ['a fragment', changed(whole.ip + 6, 0x20)],
    ['an IP header that is too short', changed(whole.ip, 0x44)],
    ['an IP packet shorter than its headers', changed(whole.ip + 2, 0, 39)],
    ['a TCP header that is too short', changed(whole.tcp + 12, 0x40)],
    [
      'a TCP header longer than the packet',
      Buffer.from(changed(whole.tcp + 12, 0xf0)).subarray(0, whole.data + 8),
    ],
    ['no IP', changed(12, 0x08, 0x06)],
  ])('%s', (_, frame) => {
    expect(cut(frame, 1448)).toBeUndefined();
  });

  test('where not a byte of data fits behind the headers', () => {
    expect(cut(whole.frame, 1448, whole.data)).toBeUndefined();
  });
});

const tshark = spawnSync('tshark', ['--version']).status === 0;

test.skipIf(!tshark)('tshark finds nothing wrong with their checksums', () => {
  const frames: Buffer[] = [];
  for (const four of [true, false])
    for (const bytes of [1, 1448, 5001, 60_000]) {
      const shape = { four, vlan: false, options: 3, bytes, sequence: 1, id: 0xfffe, flags: 0x18 };
      frames.push(...cut(large(shape).frame, 1448)!);
    }
  const directory = mkdtempSync(join(tmpdir(), 'segments-'));
  const file = join(directory, 'a.pcap');
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(1, 20);
  const records = frames.map((frame) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return Buffer.concat([record, frame]);
  });
  writeFileSync(file, Buffer.concat([head, ...records]));
  const checks = ['-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE'];
  const fields = ['-T', 'fields', '-e', 'ip.checksum.status', '-e', 'tcp.checksum.status'];
  const { stdout } = spawnSync('tshark', ['-r', file, ...checks, ...fields], { encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  const lines = stdout.split('\n').slice(0, -1);
  expect(lines).toHaveLength(frames.length);
  expect(new Set(lines)).toEqual(new Set(['1\t1', '\t1']));
});
