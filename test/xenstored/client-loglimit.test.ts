// What a backend logs for its guests: a guest that makes it say much costs a bounded number of lines, and no other guest his.
import { expect, test } from 'vitest';
import { limitLog } from '../../xenstored/client/loglimit.ts';

test('a guest that breaks its device in a loop does not fill the log, and the others have theirs', () => {
  const lines: string[] = [];
  let now = 0;
  const log = limitLog(
    (line) => lines.push(line),
    () => now,
  );
  const broken = '/local/domain/0/backend/vbd/5/51712: ring-ref is missing';
  for (let turn = 0; turn < 10_000; turn++) {
    log(broken);
    now += 0.5;
  }
  // A hundred at once, one in each of the five seconds, and that some are missing.
  expect(lines.length).toBeLessThanOrEqual(100 + 5 + 5);
  expect(lines[0]).toBe(broken);
  expect(lines).toContain('/local/domain/0/backend/vbd/5: has much to say: the rest is left out');
  expect(lines.at(-1)).toMatch(/ring-ref is missing \(\d+ lines were left out\)$|is left out$/);
  lines.length = 0;
  log('/local/domain/0/backend/vbd/50/51712: connected');
  for (let turn = 0; turn < 200; turn++) log('what the service says of itself');
  expect(lines.length).toBe(201);
  // Once it is quiet, it is heard again.
  now += 3_600_000;
  lines.length = 0;
  for (let turn = 0; turn < 3; turn++) log(broken);
  expect(lines.map((line) => line.replace(/ \(.*/, ''))).toEqual([broken, broken, broken]);
});
