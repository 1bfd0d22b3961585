// The commands of a socket device byte by byte: version 1's are those of Xen's own header, compiled by the machine's compiler; the extension's are those
// that EXTENSION.md prints. What is decoded and encoded again is the same, whatever bytes a guest has put into a slot.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Call,
  Command,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  Index,
  RESPONSE_BYTES,
  SLOT_BYTES,
} from '../../netback/xensock/core/pvcalls.ts';
import { compileAgainstXen } from '../osdep/pages/compile.ts';

const compiled = compileAgainstXen('../../netback/pages/pvcalls.c');
const said = new Map(
  ('program' in compiled ? execFileSync(compiled.program, { encoding: 'utf8' }) : '')
    .trim()
    .split('\n')
    .map((line) => line.split(' ') as [string, string]),
);

const REQ_ID = 0x01020304;
const ID = 0x1122334455667788n;
const address = Uint8Array.from({ length: 28 }, (_, at) => 0xa0 + at);

const v1: Readonly<Record<string, Call>> = {
  SOCKET: { command: Command.SOCKET, domain: 2, type: 1, protocol: 6 },
  CONNECT: {
    command: Command.CONNECT,
    address,
    addressLength: 28,
    flags: 7,
    ref: 0x0a0b0c0d,
    evtchn: 0x1f2f,
  },
  RELEASE: { command: Command.RELEASE, reuse: true },
  BIND: { command: Command.BIND, address, addressLength: 16 },
  LISTEN: { command: Command.LISTEN, backlog: 511 },
  ACCEPT: { command: Command.ACCEPT, newId: 0x99aabbccddeeff00n, ref: 0x0a0b0c0d, evtchn: 0x1f2f },
  POLL: { command: Command.POLL },
};

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function encoded(call: Call): Uint8Array {
  const slot = new Uint8Array(SLOT_BYTES).fill(0xff);
  encodeRequest(REQ_ID, ID, call, slot);
  return slot;
}

describe.skipIf('missing' in compiled)("version 1 is Xen's header", () => {
  test('sizes, and the index page', () => {
    expect(said.get('slot')).toBe(`${SLOT_BYTES}`);
    expect(said.get('response')).toBe(`${RESPONSE_BYTES}`);
    for (const [name, place] of Object.entries(Index))
      expect([name, said.get(name)]).toEqual([name, `${place}`]);
  });

  test.each(Object.entries(v1))('%s', (name, call) => {
    expect(hex(encoded(call))).toBe(said.get(name));
    const slot = Uint8Array.from(Buffer.from(said.get(name)!, 'hex'));
    expect(decodeRequest(slot)).toEqual({ reqId: REQ_ID, command: call.command, id: ID, call });
  });

  test('a response', () => {
    const slot = new Uint8Array(SLOT_BYTES).fill(0xff);
    encodeResponse({ reqId: REQ_ID, command: Command.ACCEPT, ret: -111, id: ID }, slot);
    expect(hex(slot.subarray(0, RESPONSE_BYTES))).toBe(said.get('answer'));
    // What a slot has beyond is nothing of ours that was there before.
    expect(hex(slot.subarray(RESPONSE_BYTES))).toBe('00'.repeat(SLOT_BYTES - RESPONSE_BYTES));
  });
});

describe('the extension', () => {
  const head = '04030201';
  const id = '8877665544332211';
  const fixtures: readonly (readonly [string, Call, string])[] = [
    ['SHUTDOWN', { command: Command.SHUTDOWN, how: 1 }, `${head}00010000${id}01000000`],
    ['GETSOCKNAME', { command: Command.GETSOCKNAME }, `${head}01010000${id}`],
    ['GETPEERNAME', { command: Command.GETPEERNAME }, `${head}02010000${id}`],
    [
      'GETSOCKOPT',
      { command: Command.GETSOCKOPT, level: 6, name: 1 },
      `${head}03010000${id}0600000001000000`,
    ],
    [
      'SETSOCKOPT',
      { command: Command.SETSOCKOPT, level: 6, name: 1, value: Uint8Array.of(1, 0, 0, 0) },
      `${head}04010000${id}06000000010000000400000001000000`,
    ],
    [
      'ATTACH',
      { command: Command.ATTACH, ref: 0x0a0b0c0d, evtchn: 0x1f2f },
      `${head}05010000${id}0d0c0b0a2f1f0000`,
    ],
  ];
  test.each(fixtures)('%s', (_, call, text) => {
    const slot = encoded(call);
    expect(hex(slot)).toBe(text.padEnd(2 * SLOT_BYTES, '0'));
    expect(decodeRequest(slot).call).toEqual(call);
  });

  test('a response with data', () => {
    const slot = new Uint8Array(SLOT_BYTES).fill(0xff);
    const response = {
      reqId: REQ_ID,
      command: Command.GETSOCKOPT,
      ret: 0,
      id: ID,
      data: Uint8Array.of(1, 2, 3, 4),
    };
    encodeResponse(response, slot);
    expect(hex(slot)).toBe(
      `${head}030100000000000000000000${id}0400000001020304`.padEnd(2 * SLOT_BYTES, '0'),
    );
    expect(decodeResponse(slot)).toEqual(response);
  });
});

test('a length that a guest lies about reads no further than the slot', () => {
  const slot = encoded({ command: Command.SETSOCKOPT, level: 1, name: 2, value: new Uint8Array(4) });
  new DataView(slot.buffer).setUint32(24, 0xffff_ffff, true);
  const { call } = decodeRequest(slot);
  expect(call?.command === Command.SETSOCKOPT && call.value.length).toBe(32);
});

test('any slot is a request, and says the same when it is written again', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: SLOT_BYTES, maxLength: SLOT_BYTES }),
      fc.nat(0x106),
      (bytes, command) => {
        const slot = Uint8Array.from(bytes);
        new DataView(slot.buffer).setUint32(4, command, true);
        const request = decodeRequest(slot);
        if (request.call === undefined) return command > 6 && (command < 0x100 || command > 0x105);
        const again = new Uint8Array(SLOT_BYTES);
        encodeRequest(request.reqId, request.id, request.call, again);
        expect(decodeRequest(again)).toEqual(request);
        return true;
      },
    ),
  );
});
