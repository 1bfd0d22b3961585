// What is typed: a command line as words, a terminal's line for a command that reads, a keyboard that hands over what was typed ahead.
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { Cooked } from '../../toolstack/ssh/cooked.ts';
import { Keyboard } from '../../toolstack/ssh/keyboard.ts';
import { Prompt } from '../../toolstack/ssh/prompt.ts';
import { ClientTerminal, withReturns } from '../../toolstack/ssh/terminal.ts';
import { splitWords, wordsToComplete } from '../../toolstack/ssh/words.ts';

test.each([
  ['', []],
  ['  list   -v ', ['list', '-v']],
  [`a 'b  c' "d 'e'" f\\ g`, ['a', 'b  c', "d 'e'", 'f g']],
  [`x'y'"z" ''`, ['xyz', '']],
  [`"a\\"b\\n" 'c\\d'`, ['a"b\\n', 'c\\d']],
  [`disk=['a b'] # a remark`, ['disk=[a b]']],
  [`$HOME; * | a#b`, ['$HOME;', '*', '|', 'a#b']],
])('the words of %j', (line, words) => {
  expect(splitWords(line)).toEqual({ words, open: false });
});

test('a line that is not finished', () => {
  for (const line of [`a 'b`, 'a "b', 'a\\']) expect(splitWords(line).open).toBe(true);
  expect(wordsToComplete('')).toEqual(['']);
  expect(wordsToComplete('con')).toEqual(['con']);
  expect(wordsToComplete('console ')).toEqual(['console', '']);
  expect(wordsToComplete('console a\\ ')).toEqual(['console', 'a ']);
});

test('a cooked line is shown, mended, and handed over whole', () => {
  let shown = '';
  const lines: (string | undefined)[] = [];
  const cooked = new Cooked({
    echo: (text) => {
      shown += Buffer.from(text).toString('latin1');
    },
    line: (bytes) => lines.push(bytes && Buffer.from(bytes).toString()),
  });
  const type = (text: string): void => {
    let bytes: Uint8Array = Buffer.from(text);
    while (bytes.length > 0) bytes = bytes.subarray(cooked.take(bytes));
  };
  type('nomX\x7fe\rwrong\x15é\x7fok\n\x04half\x04');
  expect(lines).toEqual(['nome\n', 'ok\n', undefined, 'half']);
  expect(shown.startsWith('nomX\b \be\r\nwrong')).toBe(true);
  // One letter, however many bytes it has.
  expect(shown.split('\b \b').length - 1).toBe(1 + 5 + 1);
});

test('what is typed ahead goes to whoever takes it next; Ctrl-C is seen before it is taken', () => {
  const source = new PassThrough();
  const keyboard = new Keyboard(source);
  const taken: string[] = [];
  const lineByLine = (bytes: Uint8Array): number => {
    const end = bytes.indexOf(10);
    if (end < 0) return 0;
    taken.push(Buffer.from(bytes.subarray(0, end)).toString());
    keyboard.give(undefined);
    return end + 1;
  };
  source.emit('data', Buffer.from('one\ntwo\nthree\n'));
  for (const before of [['one'], ['one', 'two']]) {
    keyboard.give(lineByLine);
    expect(taken).toEqual(before);
  }
  let interrupts = 0;
  keyboard.give(undefined, { interrupt: () => interrupts++ });
  source.emit('data', Buffer.from('four\n\x03five\n'));
  expect(interrupts).toBe(1);
  keyboard.give(lineByLine);
  expect(taken).toEqual(['one', 'two', 'five']);
});

test('a prompt takes lines that a person may type, and nothing from who does not look', async () => {
  const source = new PassThrough();
  let shown = 0;
  let looks = true;
  const later: (() => void)[] = [];
  const prompt = new Prompt({
    keyboard: new Keyboard(source),
    terminal: new ClientTerminal(),
    show: (bytes, seen) => {
      shown += bytes.length;
      if (looks) seen();
      else later.push(seen);
    },
    complete: async () => [],
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  // What was cut out is not put in any number of times.
  const first = prompt.ask();
  source.write(`${'y'.repeat(3000)}\x15${'\x19'.repeat(3000)}${'x'.repeat(20_000)}\x7fz\r`);
  const line = await first;
  expect(line?.length).toBeLessThan(5000);
  expect(line).toMatch(/^x+z?$/);

  looks = false;
  shown = 0;
  const second = prompt.ask();
  source.write('list\t'.repeat(100_000));
  for (let turns = 0; turns < 2000; turns++) await turn();
  expect(shown).toBeLessThan(200_000);
  looks = true;
  for (const seen of later.splice(0)) seen();
  source.write('\r');
  expect(await second).toMatch(/^(list)+$/);
  prompt.close();
});

test('line feeds as a terminal shows them', () => {
  expect(Buffer.from(withReturns(Buffer.from('a\nb\r\nc\xff'))).toString()).toBe('a\r\nb\r\nc\xff');
});
