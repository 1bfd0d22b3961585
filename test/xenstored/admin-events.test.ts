// One reader of changes, however slow it is: what it is sent, what it is told when it comes back, and when it is let go. Time is an argument.
import { expect, test } from 'vitest';
import { EventStream, HEARTBEAT_MS, LOOK_MS, STALL_MS } from '../../xenstored/admin/events.ts';
import { EventsLog } from '../../xenstored/admin/eventslog.ts';
import type { Missed } from '../../xenstored/admin/livetree.ts';
import { FakeClock } from './admin-kit.ts';

/** A pipe whose reader can be made to stop. */
class FakePipe {
  text = '';
  full = false;
  ended: 'end' | 'destroy' | undefined;
  write(text: string): boolean {
    this.text += text;
    return !this.full;
  }
  end(): void {
    this.ended ??= 'end';
  }
  destroy(): void {
    this.ended = 'destroy';
  }
}

function streamOn(
  pipe: FakePipe,
  clock: FakeClock,
  missed: (seq: number) => Promise<Missed>,
  connected = (): boolean => true,
): EventStream {
  return new EventStream({ pipe, clock, epoch: 'ab', missed, connected }, 0);
}

test('a reader that takes nothing is sent nothing more, and then what it missed, once', async () => {
  const pipe = new FakePipe();
  const asked: number[] = [];
  const stream = streamOn(pipe, new FakeClock(), async (seq) => {
    asked.push(seq);
    return { seq: 100, data: '{"missed":true}' };
  });
  pipe.full = true;
  stream.changes({ seq: 1, data: '{}' });
  const length = pipe.text.length;
  for (let seq = 2; seq <= 100; seq++) stream.changes({ seq, data: 'x'.repeat(1000) });
  expect(pipe.text.length).toBe(length);
  pipe.full = false;
  stream.drained();
  await expect.poll(() => pipe.text).toContain('event: changes\nid: ab-100\ndata: {"missed":true}\n\n');
  expect(asked).toEqual([1]);
});

test('what is not known any more is told as resync; the stream goes on', async () => {
  const pipe = new FakePipe();
  const stream = streamOn(pipe, new FakeClock(), async () => ({ seq: 9, data: undefined }));
  stream.resume();
  await expect.poll(() => pipe.text).toContain('event: resync\nid: ab-9\ndata: {"reason":');
  stream.changes({ seq: 10, data: '{}' });
  expect(pipe.text).toContain('id: ab-10\ndata: {}');
});

test('one that takes nothing at all for long is cut off; the others hear a heartbeat', () => {
  const clock = new FakeClock();
  const [slow, good] = [new FakePipe(), new FakePipe()];
  const missed = async (): Promise<Missed> => ({ seq: 0, data: '' });
  const stream = streamOn(slow, clock, missed);
  streamOn(good, clock, missed);
  slow.full = true;
  stream.changes({ seq: 1, data: '{}' });
  for (let passed = 0; passed <= STALL_MS; passed += HEARTBEAT_MS) clock.advance(HEARTBEAT_MS);
  expect(slow.ended).toBe('destroy');
  expect(good.text).toContain(': still here\n\n');
  expect(stream.over).toBe(true);
});

test('a store that is lost or found again is told once, without an id', () => {
  const clock = new FakeClock();
  const pipe = new FakePipe();
  let connected = true;
  const stream = streamOn(
    pipe,
    clock,
    async () => ({ seq: 0, data: '' }),
    () => connected,
  );
  const told = (): string[] =>
    [...pipe.text.matchAll(/(?<=\n\n)event: store\ndata: (.*)\n\n/g)].map(([, data]) => data!);
  clock.advance(LOOK_MS);
  connected = false;
  for (let look = 0; look < 3; look++) clock.advance(LOOK_MS);
  expect(told()).toEqual(['{"connected":false}']);
  connected = true;
  clock.advance(LOOK_MS);
  expect(told()).toEqual(['{"connected":false}', '{"connected":true}']);
  stream.end();
  connected = false;
  clock.advance(LOOK_MS);
  expect(told()).toHaveLength(2);
});

test('the log of changes forgets the oldest, and says so', () => {
  const log = new EventsLog(0);
  const batch = (from: number): { path: string; by: undefined }[] =>
    Array.from({ length: 100 }, (_, index) => ({ path: `/${from}/${index % 10}`, by: undefined }));
  for (let seq = 1; seq <= 300; seq++) log.add(seq, batch(seq));
  expect(log.since(50)).toBeUndefined();
  expect(log.since(299)?.size).toBe(10);
  expect(log.since(300)?.size).toBe(0);
});
