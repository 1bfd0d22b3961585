// Commands for all domains of a host that has hundreds, over the toolstack's own socket, which takes fewer connections at a time.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../../toolstack/cli/run.ts';
import { toolstackSocket } from '../../toolstack/io/orders.ts';
import { RemoteToolstack } from '../../toolstack/io/remote.ts';
import { serveToolstack } from '../../toolstack/io/server.ts';
import { domain, FakeSession, FakeToolstack } from './fakestack.ts';

test.each(['shutdown -a', 'shutdown -a -w'])('%s', async (words) => {
  const run = mkdtempSync(join(tmpdir(), 'stubdom0-many-'));
  const stack = new FakeToolstack();
  for (let domid = 1; domid <= 400; domid++) stack.domains.push(domain(domid, `g${domid}`));
  const server = await serveToolstack(toolstackSocket(run), stack);
  const session = new FakeSession(new RemoteToolstack(run));
  try {
    expect(await runCommand(words.split(' '), session)).toBe(0);
    expect(new Set(stack.asked.map((ask) => ask.split(' ')[1])).size).toBe(400);
  } finally {
    await server.close();
    rmSync(run, { recursive: true });
  }
});
