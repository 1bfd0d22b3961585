// The netif protocol's numbers are those of Xen's own header, compiled by the machine's compiler; so is the Toeplitz hash, which also gives
// the published answers of the RSS verification suite.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Header } from '../../netback/vif/core/header.ts';
import * as netif from '../../netback/vif/core/netif.ts';
import { Steering } from '../../netback/vif/core/steering.ts';
import { Toeplitz } from '../../netback/vif/core/toeplitz.ts';
import { compileAgainstXen } from '../osdep/pages/compile.ts';
import { hex, tcpFrame } from './kit.ts';

const compiled = compileAgainstXen('../../netback/pages/netif.c');
const run = (...args: readonly string[]): string[] =>
  'program' in compiled ? execFileSync(compiled.program, args, { encoding: 'utf8' }).trim().split('\n') : [];

test.skipIf('missing' in compiled)("numbers and places are those of Xen's header", () => {
  const slot = {
    tx: netif.TX_SLOT_BYTES,
    rx: netif.RX_SLOT_BYTES,
    ctrl: netif.CTRL_SLOT_BYTES,
    txResponse: netif.TX_RESPONSE_BYTES,
    min: netif.NR_SLOTS_MIN,
    packet: netif.MAX_PACKET_BYTES,
  };
  const { Extra, TxRequest, TxResponse, RxRequest, RxResponse, CtrlRequest, CtrlResponse } = netif;
  const { TxFlag, RxFlag, Status, Gso, HashType, HashAlgorithm, CtrlType, CtrlStatus } = netif;
  const { XDP: _linuxOnly, ...ExtraType } = netif.ExtraType;
  const ours = Object.entries({
    slot,
    TxRequest,
    TxResponse,
    RxRequest,
    RxResponse,
    Extra,
    CtrlRequest,
    CtrlResponse,
    TxFlag,
    RxFlag,
    Status,
    ExtraType,
    Gso,
    HashType,
    HashAlgorithm,
    CtrlType,
    CtrlStatus,
  }).flatMap(([table, values]) => Object.entries(values).map(([name, value]) => `${table}.${name} ${value}`));
  expect(ours.sort()).toEqual(run('layout').sort());
});

const bytes = (most: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: 0, maxLength: most, size: 'max' });

test.skipIf('missing' in compiled)("the Toeplitz hash is that of Xen's header, for any key and data", () => {
  const cases = fc.sample(fc.tuple(bytes(40), bytes(36)), { numRuns: 300, seed: 1 });
  const ours = cases.map(([key, data]) => {
    const toeplitz = new Toeplitz();
    toeplitz.setKey(key);
    return String(toeplitz.add(0, 0, data, 0, data.length));
  });
  const word = (data: Uint8Array): string => hex(data) || '-';
  expect(ours).toEqual(run('hash', ...cases.flatMap(([key, data]) => [word(key), word(data)])));
});

const KEY = Buffer.from(
  '6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa',
  'hex',
);

// Source, its port, destination, its port, hash of the addresses, hash with the ports.
const suite: readonly (readonly [string, number, string, number, number, number])[] = [
  ['66.9.149.187', 2794, '161.142.100.80', 1766, 0x323e8fc2, 0x51ccc178],
  ['199.92.111.2', 14230, '65.69.140.83', 4739, 0xd718262a, 0xc626b0ea],
  ['24.19.198.95', 12898, '12.22.207.184', 38024, 0xd2d0a5de, 0x5c2b394a],
  ['38.27.205.30', 48228, '209.142.163.6', 2217, 0x82989176, 0xafc7327f],
  ['153.39.163.191', 44251, '202.188.127.2', 1303, 0x5d1809c5, 0x10e828a2],
  ['3ffe:2501:200:1fff::7', 2794, '3ffe:2501:200:3::1', 1766, 0x2cc18cd5, 0x40207d3d],
  ['3ffe:501:8::260:97ff:fe40:efab', 14230, 'ff02::1', 4739, 0x0f0c461c, 0xdde51bbf],
  ['3ffe:1900:4545:3:200:f8ff:fe21:67cf', 44251, 'fe80::200:f8ff:fe21:67cf', 38024, 0x4b61e985, 0x02d1feef],
];

describe('the RSS verification suite', () => {
  test.each(suite)('%s port %i to %s port %i', (source, sourcePort, to, toPort, plain, withPorts) => {
    const steering = new Steering(4);
    steering.algorithm = netif.HashAlgorithm.TOEPLITZ;
    steering.toeplitz.setKey(KEY);
    const header = new Header();
    const six = source.includes(':') ? 2 : 0;
    for (const vlan of [false, true]) {
      const frame = tcpFrame({ source, sourcePort, to, toPort, vlan });
      header.parse(frame, 0, frame.length);
      steering.flags = 0b0101;
      expect(steering.steer(header)).toBe(plain % 4);
      expect([steering.hashType, steering.hashValue]).toEqual([netif.HashType.IPV4 + six, plain]);
      steering.flags = 0b1111;
      expect(steering.steer(header)).toBe(withPorts % 4);
      expect([steering.hashType, steering.hashValue]).toEqual([netif.HashType.IPV4_TCP + six, withPorts]);
    }
  });

  test('a fragment and UDP have the addresses only', () => {
    const steering = new Steering(4);
    steering.algorithm = netif.HashAlgorithm.TOEPLITZ;
    steering.toeplitz.setKey(KEY);
    steering.flags = 0b1111;
    const [source, sourcePort, to, toPort, plain] = suite[0]!;
    for (const change of [{ protocol: 17 }, { fragment: 0x2000 }, { fragment: 185 }]) {
      const header = new Header();
      const frame = tcpFrame({ source, sourcePort, to, toPort, ...change });
      header.parse(frame, 0, frame.length);
      steering.steer(header);
      expect([steering.hashType, steering.hashValue]).toEqual([netif.HashType.IPV4, plain]);
    }
  });
});

test('headers that do not add up never reach behind what is there', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200, size: 'max' }),
      fc.constantFrom(0x0800, 0x86dd, 0x8100, 0x88a8),
      (data, type) => {
        const memory = new Uint8Array(400).fill(0xee);
        memory.set(data);
        if (data.length >= 14) memory.set([type >> 8, type & 0xff, type === 0x86dd ? 0x60 : 0x45], 12);
        const header = new Header();
        expect(header.parse(memory, 0, data.length)).toBe(data.length >= 14);
        const end = Math.min(data.length, 128);
        expect(header.addressesLength === 0 || header.addresses + header.addressesLength <= end).toBe(true);
        expect(header.ports === 0 || header.ports + 4 <= end).toBe(true);
      },
    ),
  );
});
