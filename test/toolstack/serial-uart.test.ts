/** The UART's registers, as the data sheet of the PC16550D has them: rows of accesses and what they find. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UART_STATE_BYTES, Uart } from '../../toolstack/core/uart.ts';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];

function uart(): Uart {
  return new Uart(new Uint8Array(UART_STATE_BYTES));
}

/** With interrupts of all kinds, let through. */
function listening(fcr = 0): Uart {
  const made = uart();
  made.write(MCR, 8);
  made.write(IIR, fcr);
  made.write(IER, 0x0d);
  return made;
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('after a reset', () => {
  test.each([
    ['nothing is enabled', IER, 0],
    ['there is nothing to tell', IIR, 1],
    ['the line is its simplest', LCR, 0],
    ['the transmitter is empty', LSR, 0x60],
    ['somebody is at the other end', MSR, 0xb0],
    ['there is nothing to read', DATA, 0],
  ])('%s', (_, register, value) => {
    expect(uart().read(register)).toBe(value);
  });
});

test('scratch, line control and modem control read as they were written, as far as they have bits', () => {
  const one = uart();
  for (const [register, mask] of [
    [SCR, 0xff],
    [LCR, 0xff],
    [MCR, 0x1f],
  ] as const)
    for (const value of [0xff, 0x55, 0xaa, 0]) {
      one.write(register, value);
      expect(one.read(register)).toBe(value & mask);
    }
});

test('the divisor is behind the latch, and what is sent is not', () => {
  const one = uart();
  one.write(LCR, 0x83);
  expect(one.write(DATA, 0x0c)).toBeUndefined();
  expect(one.write(IER, 0x01)).toBeUndefined();
  expect([one.read(DATA), one.read(IER)]).toEqual([0x0c, 0x01]);
  one.write(LCR, 0x03);
  expect([one.read(DATA), one.read(IER)]).toEqual([0, 0]);
  expect(one.write(DATA, 0x41)).toBe(0x41);
});

test('without a FIFO one byte is received at a time, with one sixteen', () => {
  const one = uart();
  expect(one.room).toBe(1);
  one.receive(bytes('a'));
  expect(one.room).toBe(0);
  expect(one.read(LSR)).toBe(0x61);
  expect(one.read(DATA)).toBe(0x61);
  one.write(IIR, 1);
  expect(one.room).toBe(16);
  one.receive(bytes('0123456789abcdef'));
  expect(one.room).toBe(0);
  expect(String.fromCharCode(...Array.from({ length: 16 }, () => one.read(DATA)))).toBe('0123456789abcdef');
  expect(one.read(LSR)).toBe(0x60);
});

test('turning the FIFO on or off, or clearing it, empties it', () => {
  const one = uart();
  one.receive(bytes('a'));
  one.write(IIR, 1);
  expect(one.read(LSR) & 1).toBe(0);
  one.receive(bytes('bc'));
  one.write(IIR, 3);
  expect(one.read(LSR) & 1).toBe(0);
  one.receive(bytes('d'));
  one.write(IIR, 0);
  expect(one.read(LSR) & 1).toBe(0);
});

test('what is received is told: at the trigger at once, below it as what has waited', () => {
  const one = listening(0x81);
  expect([one.interrupt, one.read(IIR)]).toEqual([false, 0xc1]);
  one.receive(bytes('abc'));
  expect([one.interrupt, one.read(IIR)]).toEqual([true, 0xcc]);
  one.receive(bytes('defgh'));
  expect([one.interrupt, one.read(IIR)]).toEqual([true, 0xc4]);
  for (let at = 0; at < 8; at++) one.read(DATA);
  expect([one.interrupt, one.read(IIR)]).toEqual([false, 0xc1]);
});

test('that the transmitter is empty is told to who begins to care, and after each byte, until he has been told', () => {
  const one = uart();
  one.write(MCR, 8);
  one.write(IER, 2);
  expect([one.interrupt, one.read(IIR), one.interrupt]).toEqual([true, 2, false]);
  one.write(DATA, 0x41);
  expect([one.interrupt, one.read(IIR), one.read(IIR)]).toEqual([true, 2, 1]);
});

test('nothing gets past OUT2', () => {
  const one = listening();
  one.receive(bytes('a'));
  expect(one.interrupt).toBe(true);
  one.write(MCR, 0);
  expect([one.interrupt, one.read(IIR)]).toEqual([false, 4]);
});

test('in a loop it hears itself and nobody else, and its own lines', () => {
  const one = listening(1);
  one.write(MCR, 0x18);
  expect(one.room).toBe(0);
  expect(one.write(DATA, 0x42)).toBeUndefined();
  expect([one.read(LSR), one.read(DATA)]).toEqual([0x61, 0x42]);
  one.read(MSR);
  for (const [lines, shown] of [
    [0x10, 0x00],
    [0x11, 0x20],
    [0x12, 0x10],
    [0x14, 0x40],
    [0x18, 0x80],
    [0x1f, 0xf0],
  ] as const) {
    one.write(MCR, lines);
    expect(one.read(MSR) & 0xf0).toBe(shown);
    expect(one.read(MSR) & 0x0f).toBe(0);
  }
});

test('a byte too many in a loop is an overrun, told before all else and once', () => {
  const one = listening();
  one.write(MCR, 0x18);
  one.read(MSR);
  one.write(DATA, 1);
  one.write(DATA, 2);
  expect(one.read(IIR)).toBe(6);
  expect([one.read(LSR), one.read(LSR)]).toEqual([0x63, 0x61]);
  expect(one.read(DATA)).toBe(1);
});

test('its state is in the bytes it was given: another goes on with them', () => {
  const state = new Uint8Array(UART_STATE_BYTES);
  const one = new Uart(state);
  one.write(MCR, 8);
  one.write(IIR, 1);
  one.write(IER, 1);
  one.receive(bytes('xy'));
  const other = new Uart(state);
  expect([other.interrupt, other.read(DATA), other.read(DATA), other.interrupt]).toEqual([
    true,
    0x78,
    0x79,
    false,
  ]);
});

test('whatever a guest writes, and whatever its state was, registers are bytes and the FIFO has bounds', () => {
  const access = fc.tuple(fc.nat(7), fc.option(fc.nat(255), { nil: undefined }));
  const state = fc.uint8Array({ minLength: UART_STATE_BYTES, maxLength: UART_STATE_BYTES });
  fc.assert(
    fc.property(state, fc.array(access, { maxLength: 60 }), (from, accesses) => {
      const one = new Uart(Uint8Array.from(from));
      for (const [register, value] of accesses) {
        const found = value === undefined ? one.read(register) : (one.write(register, value) ?? 0);
        expect(Number.isInteger(found) && found >= 0 && found <= 255).toBe(true);
        expect(one.room).toBeLessThanOrEqual(16);
        if (one.room > 0) one.receive(bytes('z'));
      }
    }),
    { numRuns: 200 },
  );
});
