// Changes as server-sent events: while the reader is there, whatever its speed. The store is a small fake; time is an argument.
import { expect, test } from 'vitest';
import { BACKLOG_MAX, EventStream, HEARTBEAT_MS, STALL_MS } from '../../xenstored/admin/events.ts';
import { FakeClock, secret, startApp } from './admin-kit.ts';

test('changes arrive as events while the reader is there, on a real connection', async () => {
  const { app, store, clock } = await startApp();
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const stop = new AbortController();
  const reply = await fetch(`${url}/v1/events?path=/local`, {
    headers: { authorization: `Bearer ${secret}` },
    signal: stop.signal,
  });
  expect(reply.headers.get('content-type')).toBe('text/event-stream');
  const text = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = '';
  const until = async (wanted: string): Promise<void> => {
    while (!seen.includes(wanted)) seen += (await text.read()).value ?? '';
  };
  await until('event: change\ndata: {"path":"/local"}\n\n');
  store.write('/local/domain/7/name', 'seven');
  await until('{"path":"/local/domain/7/name"}');
  clock.advance(HEARTBEAT_MS);
  await until(': still here\n\n');
  stop.abort();
  await expect(text.read()).rejects.toThrow();
});

test('as many streams as it keeps, and no more', async () => {
  const { app } = await startApp();
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const stop = new AbortController();
  const open = (): Promise<Response> =>
    fetch(`${url}/v1/events?path=/`, { headers: { authorization: `Bearer ${secret}` }, signal: stop.signal });
  const replies = await Promise.all(Array.from({ length: 65 }, open));
  expect(replies.map((reply) => reply.status).filter((status) => status !== 200)).toEqual([503]);
  stop.abort();
});

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
  get events(): string[] {
    return [...this.text.matchAll(/data: (.*)\n/g)].map(([, data]) => data!);
  }
}

test('a reader that falls behind is told each path once, when it comes back', () => {
  const pipe = new FakePipe();
  const stream = new EventStream(pipe, new FakeClock());
  pipe.full = true;
  stream.change('/first');
  for (let round = 0; round < 10_000; round++) stream.change(`/hot/${round % 3}`);
  expect(pipe.events).toEqual(['{"path":"/first"}']);
  pipe.full = false;
  stream.drained();
  expect(pipe.events).toEqual([
    '{"path":"/first"}',
    '{"path":"/hot/0"}',
    '{"path":"/hot/1"}',
    '{"path":"/hot/2"}',
  ]);
});

test('one that stays behind is dropped, and told why', () => {
  const pipe = new FakePipe();
  const clock = new FakeClock();
  const stream = new EventStream(pipe, clock);
  pipe.full = true;
  let taken = 0;
  while (stream.change(`/node/${taken}`)) taken++;
  expect(taken).toBe(BACKLOG_MAX + 1);
  expect(pipe.text).toContain('event: dropped\ndata: {"reason":"more than 1000 changes behind"}');
  expect(pipe.ended).toBe('end');
  expect(clock.waiting).toBe(0);
});

test('one that takes nothing at all is cut off', () => {
  const pipe = new FakePipe();
  const clock = new FakeClock();
  const stream = new EventStream(pipe, clock);
  pipe.full = true;
  stream.change('/a');
  for (let passed = 0; passed <= STALL_MS; passed += HEARTBEAT_MS) clock.advance(HEARTBEAT_MS);
  expect(pipe.ended).toBe('destroy');
  expect(stream.over).toBe(true);
  expect(clock.waiting).toBe(0);
});
