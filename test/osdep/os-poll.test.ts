/** Readiness of descriptors, and how a poller behaves beside everything else that a process does. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { watchReadable } from '../../osdep/os/ffi.ts';
import { Poller, READABLE, WRITABLE } from '../../osdep/os/poll.ts';
import * as sock from '../../osdep/os/sock.ts';

let poller: Poller;
const open: number[] = [];

beforeEach(() => {
  poller = new Poller();
});
afterEach(() => {
  poller.close();
  for (const fd of open.splice(0)) sock.close(fd);
});

function pair(): [number, number] {
  const fds = sock.pair();
  open.push(...fds);
  return fds;
}

const byte = Buffer.alloc(1);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

// What a poller promises holds whether or not it looks out for a while before it sleeps.
describe.each([{ spinUs: 0 }, { spinUs: 60 }])('a poller with $spinUs us of looking out', ({ spinUs }) => {
  beforeEach(() => {
    poller.close();
    poller = new Poller({ spinUs });
  });

  test('readiness is reported until it is taken', async () => {
    const [near, far] = pair();
    let calls = 0;
    const twice = new Promise<void>((resolve) => {
      poller.add(near, READABLE, (events, fd) => {
        expect(events).toBe(READABLE);
        expect(fd).toBe(near);
        if (++calls === 2) {
          sock.recv(near, byte);
          resolve();
        }
      });
    });
    sock.send(far, byte);
    await twice;
    await turn();
    await turn();
    expect(calls).toBe(2);
  });

  test('the turn callback comes once, after all callbacks of a wake-up', async () => {
    const order: string[] = [];
    const done = new Promise<void>((resolve) => {
      poller.onTurn(() => {
        order.push('turn');
        resolve();
      });
    });
    for (let i = 0; i < 3; i++) {
      const [near, far] = pair();
      poller.add(near, READABLE, () => {
        sock.recv(near, byte);
        order.push('ready');
      });
      sock.send(far, byte);
    }
    await done;
    expect(order).toEqual(['ready', 'ready', 'ready', 'turn']);
  });

  test('interest can be changed', async () => {
    const [near] = pair();
    let events = 0;
    poller.add(near, READABLE, (mask) => {
      events = mask;
      poller.modify(near, READABLE);
    });
    await turn();
    expect(events).toBe(0);
    poller.modify(near, READABLE | WRITABLE);
    while (events === 0) await turn();
    expect(events).toBe(WRITABLE);
  });

  test('what is removed is not called, and a new descriptor of the same number gets no old event', async () => {
    const [first, firstFar] = pair();
    const [second, secondFar] = pair();
    const called: number[] = [];
    let reused = -1;
    // Whichever comes first removes the other and opens a descriptor under its number.
    const replace = (fd: number, other: number): void => {
      called.push(fd);
      sock.recv(fd, byte);
      poller.remove(other);
      sock.close(other);
      open.splice(open.indexOf(other), 1);
      const [a, b] = pair();
      reused = a === other ? a : b;
      poller.add(reused, READABLE, () => called.push(-1));
    };
    poller.add(first, READABLE, () => replace(first, second));
    poller.add(second, READABLE, () => replace(second, first));
    sock.send(firstFar, byte);
    sock.send(secondFar, byte);
    while (called.length === 0) await turn();
    await turn();
    await turn();
    expect(called).toHaveLength(1);
    expect([first, second]).toContain(reused);
  });

  test('timers and promises go on beside a descriptor that is always ready', async () => {
    const [near] = pair();
    let wakeUps = 0;
    let microtasks = 0;
    poller.add(near, WRITABLE, () => {
      wakeUps++;
      queueMicrotask(() => microtasks++);
    });
    // Each wait ends although the descriptor does not rest.
    while (wakeUps < 10) await new Promise((resolve) => setTimeout(resolve, 5));
    // Turns that follow each other closely are one for Node.
    expect(microtasks).toBeGreaterThanOrEqual(spinUs === 0 ? wakeUps - 1 : 1);
  });

  test('closing is idempotent and leaves later calls without effect', () => {
    const [near] = pair();
    poller.add(near, READABLE, () => {});
    poller.close();
    poller.close();
    poller.remove(near);
    poller.ref();
    poller.unref();
  });

  test('a conversation that never pauses leaves timers their time', async () => {
    const [near, far] = pair();
    let said = 0;
    poller.add(near, READABLE, () => {
      sock.recv(near, byte);
      said++;
      sock.send(far, byte);
    });
    sock.send(far, byte);
    let ticks = 0;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        ticks++;
        if (ticks < 10 || said < 500) return;
        clearInterval(timer);
        resolve();
      }, 1);
    });
    // Not once for each thing said, and not hardly ever: a poller's turn is a few milliseconds at the most.
    expect(ticks).toBeLessThan(said);
  });
});

/** Runs a module with a poller, as built, in a process of its own. */
function run(body: string): { status: number | null; stdout: string } {
  const built = new URL('../../dist/osdep/os/', import.meta.url).href;
  const source = `
    import { Poller, READABLE } from '${built}poll.js';
    import * as sock from '${built}sock.js';
    const p = new Poller();
    const [near, far] = sock.pair();
    ${body}`;
  const args = ['--expose-gc', '--input-type=module', '-e', source];
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
}

test('what cannot be watched is said at once', () => {
  const fd = openSync(new URL(import.meta.url).pathname, 'r');
  expect(() => watchReadable(fd, () => {})).toThrow(`watching descriptor ${fd}: error 1`);
  closeSync(fd);
});

test('a worker thread has pollers of its own, which end with it', () => {
  const built = new URL('../../dist/osdep/os/', import.meta.url).href;
  const { status, stdout } = run(`
    import { Worker } from 'node:worker_threads';
    p.unref();
    const worker = new Worker(\`
      Promise.all([import('${built}poll.js'), import('${built}sock.js')]).then(([{ Poller, READABLE }, sock]) => {
        const [near, far] = sock.pair();
        const p = new Poller();
        p.add(near, READABLE, () => {
          sock.recv(near, Buffer.alloc(1));
          console.log('heard');
          p.close();
        });
        sock.send(far, Buffer.alloc(1));
      });\`, { eval: true });
    worker.on('exit', (code) => console.log('ended', code));`);
  expect(stdout).toBe('heard\nended 0\n');
  expect(status).toBe(0);
});

test('an unreferenced poller lets the process end', () => {
  const { status } = run(`p.add(near, READABLE, () => {}); p.unref();`);
  expect(status).toBe(0);
});

test('a poller survives garbage collection, and what a callback throws', () => {
  const { status, stdout } = run(`
    process.on('uncaughtException', (error) => {
      console.log(error.message);
      sock.recv(near, Buffer.alloc(1));
      if (error.message === 'second') p.close();
      else sock.send(far, Buffer.alloc(1));
    });
    const messages = ['first', 'second'];
    p.add(near, READABLE, () => { throw new Error(messages.shift()); });
    setTimeout(() => { gc(); gc(); sock.send(far, Buffer.alloc(1)); }, 1);`);
  expect(stdout).toBe('first\nsecond\n');
  expect(status).toBe(0);
});

test('a process that ends by itself ends well, whatever becomes ready meanwhile', () => {
  const { status } = run(`
    p.add(near, READABLE, () => {});
    p.unref();
    process.on('exit', () => sock.send(far, Buffer.alloc(1)));
    sock.send(far, Buffer.alloc(1));`);
  expect(status).toBe(0);
});
