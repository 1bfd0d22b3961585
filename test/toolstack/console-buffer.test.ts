/** What a console keeps for one who does not look, when he looks now and then: nothing is lost without being told of. */
import { expect, test } from 'vitest';
import { ConsoleBuffer } from '../../toolstack/core/consolebuffer.ts';

const LINE = /\r\n\[(\d+) bytes were dropped here\]\r\n/g;

/** Reads at most so many bytes, in pieces as they come. */
function read(buffer: ConsoleBuffer, most: number): string {
  let text = '';
  while (text.length < most && !buffer.empty) {
    const bytes = buffer.first().subarray(0, most - text.length);
    text += Buffer.from(bytes).toString('latin1');
    buffer.take(bytes.length);
  }
  return text;
}

/** What was said and what was dropped, together. */
function accountedFor(text: string): number {
  const dropped = [...text.matchAll(LINE)].reduce((sum, [, count]) => sum + Number(count), 0);
  return text.replaceAll(LINE, '').length + dropped;
}

test('a line that could not be read yet tells of what is dropped afterwards, too', () => {
  const buffer = new ConsoleBuffer(100);
  buffer.append(Buffer.alloc(150, 'a'));
  expect(read(buffer, 50)).toBe('a'.repeat(50));
  // The terminal takes nothing of it.
  buffer.first();
  buffer.append(Buffer.alloc(30, 'b'));
  const rest = read(buffer, 1000);
  expect(rest).toBe(`\r\n[80 bytes were dropped here]\r\n${'a'.repeat(20)}${'b'.repeat(30)}`);
});

test('however it is read, every byte is there or is told of, and the lines that tell are whole', () => {
  for (let seed = 1; seed < 200; seed++) {
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const buffer = new ConsoleBuffer(64);
    let [said, text] = [0, ''];
    for (let turn = 0; turn < 100; turn++) {
      const bytes = Buffer.alloc(random(120), 'x');
      said += bytes.length;
      buffer.append(bytes);
      if (random(3) === 0) buffer.first();
      text += read(buffer, random(90));
    }
    text += read(buffer, Number.POSITIVE_INFINITY);
    expect([seed, accountedFor(text)]).toEqual([seed, said]);
  }
});
