/**
 * A guest that is a small Node program with our frontend, and our xensock in dom0: Node's own HTTP over sockets in another domain, served and fetched, on
 * real grants and event channels. When the backend is killed the guest's connections are reset, and it goes on with the next one.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { DOM0, loadLinuxBackend, PVCALLS, startXensock, xensockSaid } from '../dom0/xensock.ts';
import type { Guest, Lab, Scenario } from '../lab/scenario.ts';

const MIB = 2;
const PORT = 7080;
/** Of dom0's server. */
const FILES = 9080;
const KILLS = 2;
/** Less than a ring has room for: Linux's backend (6.1) hears no event of a socket any more after one that brought no bytes. */
const SMALL = 20_000;
const BLOCK = Buffer.from(Uint32Array.from({ length: 1 << 14 }, (_, i) => Math.imul(i, 0x9e3779b1)).buffer);
const SCRIPT = `
echo 16384 >/sys/module/xen_gntalloc/parameters/limit
exec node /app/dist/test/real/guest/web.js ${PORT} http://${DOM0}:${FILES}/file`;

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** What the guest gives when it is asked for so many bytes. */
function expected(length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / BLOCK.length) }, () => BLOCK);
  return Buffer.concat(blocks, length);
}

async function asked(agent: Agent, path: string, body?: Buffer): Promise<Buffer> {
  const asking = request({
    agent,
    host: DOM0,
    port: PORT,
    path,
    method: body === undefined ? 'GET' : 'POST',
  });
  asking.end(body);
  const [answer] = await once(asking, 'response');
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part);
  return Buffer.concat(parts);
}

/** dom0 asks the guest: a program of its own, many requests at a time over few connections, and something large. */
async function serves(lab: Lab): Promise<void> {
  const length = MIB << 20;
  await lab.step('wget', async () => {
    const { stdout } = await lab.sh(`wget -q -O - http://${DOM0}:${PORT}/${length} | md5sum`);
    assert.equal(stdout.slice(0, 32), md5(expected(length)));
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  await lab.step('forty requests over eight connections', async () => {
    const lengths = Array.from({ length: 40 }, (_, i) => i * 1371);
    const answers = await Promise.all(lengths.map((one) => asked(agent, `/${one}`)));
    for (const [i, answer] of answers.entries()) assert.equal(md5(answer), md5(expected(lengths[i]!)));
  });
  const body = randomBytes(length);
  await lab.step('something large to it', async () => {
    assert.equal(`${await asked(agent, '/', body)}`, md5(body));
  });
  agent.destroy();
}

async function lost(guest: Guest): Promise<readonly string[]> {
  return (await guest.console()).match(/LOST \S+\./g) ?? [];
}

export const scenarios: readonly Scenario[] = [
  {
    name: "a guest in Node, our frontend and Linux's PV Calls backend: HTTP fetched",
    stores: ['ours'],
    needs: ['node', 'pvcalls'],
    limitS: 300,
    async run(lab) {
      const unload = await loadLinuxBackend(lab);
      const file = randomBytes(SMALL);
      const server = createServer((_, response) => response.end(file));
      server.listen(FILES);
      try {
        const guest = lab.guest({
          name: 'plain',
          node: true,
          memory: 400,
          script: SCRIPT,
          config: [PVCALLS],
        });
        await lab.step('xl create', () => guest.create());
        await lab.step('it serves', () => guest.says(/DEVICE 0 plain\.[\s\S]*SERVING\./, 60));
        const first = await lab.step('it fetches', () => guest.says(/FETCHED \w+\./, 40));
        assert.equal(first, `FETCHED ${md5(file)}.`);
        await lab.step('it fetches again and again', () =>
          lab.until('ten', async () => (await guest.console()).split('FETCHED').length > 10, 60),
        );
        assert.deepEqual(await lost(guest), []);
      } finally {
        // Whatever came of it: our own does not start beside the other.
        await lab.exec('xl', ['destroy', 'plain'], { mayFail: true });
        server.closeAllConnections();
        server.close();
        await unload();
      }
    },
  },
  {
    name: 'a guest in Node, our frontend and our xensock: HTTP served and fetched; kill -9',
    stores: ['ours', 'c'],
    needs: ['node'],
    limitS: 500,
    async run(lab) {
      let program = await lab.step('xensock', () => startXensock(lab));
      const file = randomBytes(MIB << 20);
      const server = createServer((_, response) => response.end(file));
      server.listen(FILES);
      try {
        const guest = lab.guest({ name: 'web', node: true, memory: 400, script: SCRIPT, config: [PVCALLS] });
        await lab.step('xl create', () => guest.create());
        await lab.step('it serves', () => guest.says(/DEVICE 0 extended\.[\s\S]*SERVING\./, 60));
        const first = await lab.step('it fetches', () => guest.says(/FETCHED \w+\./, 40));
        assert.equal(first, `FETCHED ${md5(file)}.`);
        await serves(lab);
        const fetches = async () => (await guest.console()).split('FETCHED').length - 1;
        for (let i = 0; i < KILLS; i++) {
          await program.kill();
          await lab.step('killed; started again', async () => {
            program = await startXensock(lab);
          });
          const before = await fetches();
          await lab.step('it fetches again', () =>
            lab.until('two more', async () => (await fetches()) >= before + 2, 60),
          );
          await lab.step('it serves again', () => serves(lab));
        }
        // What was under way, if anything was.
        assert.deepEqual(
          (await lost(guest)).filter((line) => line !== 'LOST ECONNRESET.'),
          [],
        );
        assert.equal(
          (await guest.console())
            .replaceAll(`FETCHED ${md5(file)}.`, '')
            .match(/FETCHED|SERVING.*SERVING|NOT/s),
          null,
        );
        lab.figure('files fetched', await fetches());
        await lab.step('xl destroy', () => lab.exec('xl', ['destroy', 'web']));
        const { stdout } = await lab.exec('xenstore-ls', ['-f', '/local/domain/0/backend'], {
          mayFail: true,
        });
        assert.doesNotMatch(stdout, /pvcalls\/\d+\/\d+/, 'nothing is left in the store');
        assert.doesNotMatch(xensockSaid(), /tried again|internal error/);
      } finally {
        await program.kill();
        server.closeAllConnections();
        server.close();
      }
    },
  },
];
