// The logger prints what Xen's tools print: prefixes, levels, error texts, and progress drawn over itself.
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { stdioLogger } from '../../osdep/os/stdiolog.ts';
import { HandleRegistry } from '../../osdep/toolcore.ts';
import { LogLevel, levelName, percentOf, StdioLogger, type StdioLoggerOptions } from '../../osdep/toollog.ts';

function logger(
  options: StdioLoggerOptions = {},
  isTerminal = false,
): { log: StdioLogger; text: () => string } {
  let written = '';
  const stream = {
    write: (text: string) => {
      written += text;
    },
    isTerminal,
    pid: 42,
    localTime: () => '2026-11-21 05:30:16 CET',
  };
  return { log: new StdioLogger(stream, options), text: () => written };
}

test('a line has context, level, message and error, and below the level nothing', () => {
  const { log, text } = logger();
  log.log({ level: LogLevel.ERROR, context: 'xc', text: 'no such domain', errno: 3 });
  log.log({ level: LogLevel.DETAIL, text: 'dropped' });
  log.log({ level: LogLevel.WARN, text: 'plain', errno: 0 });
  log.setMinLevel(LogLevel.DEBUG);
  log.log({ level: LogLevel.DEBUG, text: 'kept', errno: 999 });
  expect(text()).toBe(
    'xc: error: no such domain: No such process\nwarning: plain: Success\ndebug: kept: Unknown error 999\n',
  );
});

test('date and pid come first, in that order, and can be switched', () => {
  const { log, text } = logger({ showDate: true, showPid: true });
  log.log({ level: LogLevel.INFO, context: 'c', text: 'm' });
  log.adjust({ showDate: false });
  log.log({ level: LogLevel.INFO, text: 'm' });
  expect(text()).toBe('2026-11-21 05:30:16 CET [42] c: info: m\n[42] info: m\n');
});

test('this process logs to a stream of its own, with its own pid and time', () => {
  const stream = new PassThrough() as unknown as NodeJS.WriteStream;
  stdioLogger({ showPid: true, showDate: true }, stream).log({ level: LogLevel.INFO, text: 'm' });
  const line = String(stream.read());
  expect(line).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ \[\d+\] info: m\n$/);
  expect(line).toContain(`[${process.pid}]`);
});

test('every level but none has a name', () => {
  expect(levelName(LogLevel.CRITICAL)).toBe('critical');
  expect(levelName(LogLevel.DEBUG)).toBe('debug');
  expect(() => levelName(LogLevel.NONE)).toThrow(RangeError);
});

test('progress in lines: only what moved, small steps as a detail', () => {
  const { log, text } = logger();
  for (const percent of [10, 10, 12, 16, 3]) {
    log.progress({ what: 'copying', percent, done: percent, total: 100 });
  }
  expect(text()).toBe(
    'progress: copying: 10/100   10%\nprogress: copying: 16/100   16%\nprogress: copying: 3/100    3%\n',
  );
});

test('progress in one line: redrawn in place, and blanked before a message', () => {
  const { log, text } = logger({ minLevel: LogLevel.DETAIL }, true);
  log.progress({ context: 'c', what: 'w', percent: 50, done: 5, total: 10 });
  log.progress({ what: 'w', percent: 51, done: 6, total: 10 });
  log.log({ level: LogLevel.INFO, text: 'm' });
  const first = 'c: w: 5/10   50%';
  const second = 'w: 6/10   51%';
  expect(text()).toBe(`${first}\r${second}   \r\r${' '.repeat(second.length)}\rinfo: m\n`);
});

test('progress can be hidden, and the last one ends its line', () => {
  const shown = logger({ progressLine: 'redrawn' });
  shown.log.progress({ what: 'w', percent: 100, done: 4, total: 4 });
  expect(shown.text()).toBe('w: 4/4  100%\n');
  const hidden = logger({ hideProgress: true });
  hidden.log.progress({ what: 'w', percent: 100, done: 4, total: 4 });
  expect(hidden.text()).toBe('');
});

test('percent of large totals does not overflow', () => {
  expect(percentOf(1, 3)).toBe(33);
  expect(percentOf(7, 0)).toBe(0);
  // Rounded down twice, as in C.
  expect(percentOf(2 ** 52, 2 ** 53)).toBe(49);
});

test('a registry restricts in order and stops at the first that cannot be', () => {
  const registry = new HandleRegistry();
  const asked: string[] = [];
  const handle = (name: string, fails: 'fails' | 'works') => ({
    restrict: () => {
      asked.push(name);
      if (fails === 'fails') {
        throw new Error(name);
      }
    },
  });
  const gone = handle('gone', 'fails');
  registry.register(gone);
  registry.register(handle('a', 'works'));
  registry.register(handle('b', 'fails'));
  registry.register(handle('c', 'works'));
  registry.deregister(gone);
  expect(() => registry.restrictAll(5)).toThrow('b');
  expect(asked).toEqual(['a', 'b']);
});
