/** The small guest's shell at its terminal: what is typed, what is shown. Rows: bytes in, text out. */
import { describe, expect, test } from 'vitest';
import { LineStamps, logName } from '../../toolstack/core/consolelog.ts';
import { Shell } from '../../toolstack/guest/consoleshell.ts';

function shell(): { readonly shell: Shell; readonly type: (text: string) => Promise<string> } {
  let shown = '';
  const made = new Shell({
    name: 'alice',
    write: (text) => {
      shown += text;
    },
    commands: {
      help: { help: 'shows this', run: () => [] },
      echo: { help: 'says it', run: async (words) => [words] },
      fail: { help: 'fails', run: () => Promise.reject(new Error('no reason')) },
    },
  });
  const type = async (text: string): Promise<string> => {
    shown = '';
    made.input(Buffer.from(text));
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    return shown;
  };
  return { shell: made, type };
}

describe('a line', () => {
  const rows: readonly [string, string, string][] = [
    ['is echoed and answered', 'echo hello world\r', 'alice# echo hello world\r\nhello world\r\nalice# '],
    ['may end as a program ends it', 'echo a\n', 'alice# echo a\r\na\r\nalice# '],
    ['ends once with both', 'echo a\r\n', 'alice# echo a\r\na\r\nalice# '],
    ['that is empty asks for another', '\r', '\r\nalice# '],
    ['is mended', 'ecko\b\bho b\r', 'alice# ecko\b \b\b \bho b\r\nb\r\nalice# '],
    ['is given up', 'rm -rf\x03', 'alice# rm -rf^C\r\nalice# '],
    ['of something else is told', 'ls /\r', 'alice# ls /\r\nls: no such command; help lists them\r\nalice# '],
    ['that fails is told', 'fail\r', 'alice# fail\r\nfail: no reason\r\nalice# '],
    [
      'asks for help',
      'help\r',
      'alice# help\r\n  help      shows this\r\n  echo      says it\r\n  fail      fails\r\nalice# ',
    ],
    [
      'is not one of an object',
      'constructor\r',
      'alice# constructor\r\nconstructor: no such command; help lists them\r\nalice# ',
    ],
    ['may be typed ahead', 'echo a\recho b\r', 'alice# echo a\r\na\r\nalice# echo b\r\nb\r\nalice# '],
    ['shows no control characters', 'a\x1b[2J\x00b', 'alice# a[2Jb'],
  ];
  test.each(rows)('%s', async (_, typed, shown) => {
    expect(await shell().type(typed)).toBe(shown);
  });
});

test('before anybody types, what is printed stands alone; then above what is being typed', async () => {
  const { shell: one, type } = shell();
  let shown = await type('');
  one.print('disk 1 is connected');
  shown = await type('echo ');
  expect(shown).toBe('alice# echo ');
  one.print('domain 4 says: hello');
  shown = await type('x\r');
  expect(shown).toBe('x\r\nx\r\nalice# ');
});

test('a flood of characters is as long as a line may be', async () => {
  const { type } = shell();
  expect((await type('x'.repeat(10_000))).length).toBe('alice# '.length + 200);
});

test('stamps stand where lines begin, however they are cut up', () => {
  const text = Buffer.from('one\ntwo\r\n\r\nthree');
  const whole = (pieces: readonly Uint8Array[]): string => Buffer.concat(pieces).toString();
  expect(whole(new LineStamps().stamp(text, Buffer.from('> ')))).toBe('> one\n> two\r\n> \n> three');
  const stamps = new LineStamps();
  const pieces = [...text].flatMap((byte) => stamps.stamp(Uint8Array.of(byte), Buffer.from('> ')));
  expect(whole(pieces)).toBe('> one\n> two\r\n> \n> three');
});

test('a log is a file of its directory, whatever its domain is called', () => {
  expect(logName('alice')).toBe('guest-alice.log');
  expect(logName('../../etc/passwd')).toBe('guest-..%2f..%2fetc%2fpasswd.log');
  expect(logName('a b\n\0')).toBe('guest-a%20b%0a%00.log');
  expect(logName('ü')).toBe('guest-%c3%bc.log');
  expect(new Set(['a_b', 'a b', 'a/b', 'a:b', 'a%20b'].map(logName)).size).toBe(5);
  expect(logName('/'.repeat(255)).length).toBeLessThan(240);
});
