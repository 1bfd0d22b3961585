// A capture of the wire: what the daemon writes with --pcap is read here as Wireshark's tshark reads it, through the dissector that we ship.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SimHost } from '../conformance/simhost.ts';
import { ask, next } from './daemonprocess.ts';

const dissector = fileURLToPath(new URL('../../xenstored/io/xenstore.lua', import.meta.url));
const tshark = spawnSync('tshark', ['-v']).status === 0;

let host: SimHost;
let file: string;
beforeEach(async () => {
  file = join(tmpdir(), `xenstored-${process.pid}.pcap`);
  host = await SimHost.start(['--database', 'memory', '--pcap', file]);
  await host.addDomain(5);
  const client = await host.connect();
  await ask(client, 'INTRODUCE', '5|1|1|');
  await ask(client, 'WATCH', '/a|token|');
  await next(client);
  await ask(client, 'WRITE', '/a/b|a value');
  await next(client);
  await ask(host.ring(5), 'READ', '/none|');
});
afterEach(async () => {
  await host.stop();
  rmSync(file);
});

/** One row per packet. */
function dissect(...fields: string[]): string[] {
  const args = ['-X', `lua_script:${dissector}`, '-r', file, '-T', 'fields', '-E', 'separator=;'];
  const { stdout, status, stderr } = spawnSync(
    'tshark',
    [...args, ...fields.flatMap((field) => ['-e', field])],
    {
      encoding: 'utf8',
    },
  );
  expect({ status, stderr: stderr.replace(/^Running as user.*\n/, '') }).toEqual({ status: 0, stderr: '' });
  return stdout.trimEnd().split('\n');
}

test('is a pcap file of link type USER0, one packet a message', () => {
  const bytes = readFileSync(file);
  expect([bytes.readUInt32LE(0), bytes.readUInt32LE(20)]).toEqual([0xa1b2c3d4, 147]);
  let packets = 0;
  for (let at = 24; at < bytes.length; at += 16 + bytes.readUInt32LE(at + 8)) packets++;
  expect(packets).toBe(10);
});

test.skipIf(!tshark)(
  'tshark shows direction, domain, type, path, value, token, error (needs tshark)',
  () => {
    const fields = ['direction', 'transport', 'domid', 'type', 'path', 'value', 'token', 'error'];
    expect(dissect(...fields.map((field) => `xenstore.${field}`))).toEqual([
      '0;0;0;8;;;;',
      '1;0;0;8;;;;',
      '0;0;0;4;/a;;token;',
      '1;0;0;4;;;;',
      '1;0;0;15;/a;;token;',
      '0;0;0;11;/a/b;a value;;',
      '1;0;0;15;/a/b;;token;',
      '1;0;0;11;;;;',
      '0;1;5;2;/none;;;',
      '1;1;5;16;;;;EACCES',
    ]);
  },
  30_000,
);

test.skipIf(!tshark)(
  'tshark relates an answer to its request, and finds nothing malformed (needs tshark)',
  () => {
    expect(dissect('frame.number', 'xenstore.request', 'xenstore.answer', '_ws.malformed')).toContain(
      '8;6;;',
    );
  },
  30_000,
);
