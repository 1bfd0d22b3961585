// Files of an archive by HTTP, as a guest serves them: archives are GNU tar's own, whoever asks is Node's own client, and the bytes are compared. Sockets
// are Node's, where a guest has its own.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ArchivedFile, type Medium, readArchive } from '../../toolstack/guest/archive.ts';
import { answer } from '../../toolstack/guest/files.ts';

const long = `${'deep/'.repeat(30)}file.txt`;
const big = randomBytes(1_000_003);
const contents: Readonly<Record<string, Buffer>> = {
  'index.html': Buffer.from('<h1>hello</h1>\n'),
  'a b.txt': Buffer.from('with a blank'),
  empty: Buffer.alloc(0),
  'big.bin': big,
  'sub/index.html': Buffer.from('below'),
  [long]: Buffer.from('a long name'),
};

let top: string;
beforeAll(() => {
  top = mkdtempSync(join(tmpdir(), 'stubdom0-files-'));
  for (const [path, bytes] of Object.entries(contents)) {
    mkdirSync(join(top, 'site', path, '..'), { recursive: true });
    writeFileSync(join(top, 'site', path), bytes);
  }
});
afterAll(() => rmSync(top, { recursive: true, force: true }));

function archive(format: string, ...more: string[]): Buffer {
  const path = join(top, `${format}.tar`);
  const made = spawnSync('tar', [`--format=${format}`, '-cf', path, ...more, '-C', join(top, 'site'), '.']);
  expect(made.status, made.stderr.toString()).toBe(0);
  return readFileSync(path);
}

function mediumOf(bytes: Uint8Array): Medium {
  return { size: bytes.length, read: async (at, length) => bytes.subarray(at, at + length) };
}

test.each(['gnu', 'pax', 'posix'])('an archive that tar made (%s): each file where it is', async (format) => {
  const bytes = archive(format);
  const files = await readArchive(mediumOf(bytes));
  expect([...files.keys()].sort()).toEqual(Object.keys(contents).sort());
  for (const [path, wanted] of Object.entries(contents)) {
    const { at, size } = files.get(path)!;
    expect(bytes.subarray(at, at + size).equals(wanted), path).toBe(true);
  }
});

test('a disk that is larger than its archive is no worse; what is none, or was cut off, is told', async () => {
  const bytes = archive('gnu');
  const files = await readArchive(mediumOf(Buffer.concat([bytes, Buffer.alloc(102_400)])));
  expect(files.size).toBe(Object.keys(contents).length);
  await expect(readArchive(mediumOf(randomBytes(4096)))).rejects.toThrow(/tar/i);
  await expect(readArchive(mediumOf(Buffer.alloc(4096)))).rejects.toThrow(/no file/);
  await expect(readArchive(mediumOf(bytes.subarray(0, 600_000)))).rejects.toThrow(/end of data/i);
});

describe('served', () => {
  const answered: (Error | undefined)[] = [];
  /** Files whose bytes are no longer to be had. */
  const spoilt = new Set<ArchivedFile>();
  let found: Map<string, ArchivedFile>;
  let url: string;
  let closed: () => void;
  beforeAll(async () => {
    const medium = mediumOf(archive('gnu'));
    found = await readArchive(medium);
    const server = createServer((asked, response) => {
      const files = {
        find: (path: string) => found.get(path),
        read: async (file: ArchivedFile, from: number, to: number) => {
          if (spoilt.has(file)) throw new Error('the disk could not');
          return await medium.read(file.at + from, to - from);
        },
      };
      answer(files, asked, response).then(
        () => answered.push(undefined),
        (error: Error) => answered.push(error),
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    closed = () => server.close();
  });
  afterAll(() => closed());

  const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());

  test.each(Object.keys(contents))('whole: %s', async (path) => {
    const response = await fetch(`${url}/${path.split('/').map(encodeURIComponent).join('/')}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-length')).toBe(`${contents[path]!.length}`);
    expect((await bytesOf(response)).equals(contents[path]!)).toBe(true);
  });

  test('a directory means its index, and types go by names', async () => {
    expect(await (await fetch(`${url}/sub/`)).text()).toBe('below');
    const index = await fetch(`${url}/?anything`);
    expect(index.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await index.text()).toBe('<h1>hello</h1>\n');
    expect((await fetch(`${url}/big.bin`, { method: 'HEAD' })).headers.get('content-length')).toBe('1000003');
  });

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=300000-899999', 300_000, 900_000],
    ['bytes=-5', 999_998, 1_000_003],
    ['bytes=999999-', 999_999, 1_000_003],
  ])('a part: %s', async (range, from, to) => {
    const response = await fetch(`${url}/big.bin`, { headers: { range } });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/1000003`);
    expect((await bytesOf(response)).equals(big.subarray(from, to))).toBe(true);
  });

  test.each<[string, string, Record<string, string>, number]>([
    ['a file that is not there', '/none', {}, 404],
    ['a way out', '/../../etc/passwd', {}, 404],
    ['no path at all', '/%ff', {}, 404],
    ['a part that is not there', '/big.bin', { range: 'bytes=1000003-' }, 416],
    ['several parts: all of it', '/big.bin', { range: 'bytes=0-1,5-6' }, 200],
    ['nonsense: all of it', '/big.bin', { range: 'lines=1' }, 200],
  ])('%s', async (_, path, headers, status) => {
    // As it stands: fetch would tidy the path.
    const [response] = await once(request(`${url}`, { path, headers }).end(), 'response');
    response.resume();
    expect(response.statusCode).toBe(status);
  });

  test('nothing but GET and HEAD', async () => {
    const response = await fetch(`${url}/big.bin`, { method: 'DELETE' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD');
  });

  test('a file that cannot be read any more is told, or ends the connection in the midst of it; it is waited for by nobody', async () => {
    for (const path of ['big.bin', 'a b.txt']) spoilt.add(found.get(path)!);
    const before = answered.length;
    expect((await fetch(`${url}/a%20b.txt`)).status).toBe(500);
    await expect(fetch(`${url}/big.bin`).then((response) => response.arrayBuffer())).rejects.toThrow();
    expect(answered.slice(before).map((error) => error?.message)).toEqual(
      Array(2).fill('the disk could not'),
    );
    spoilt.clear();
    expect(await (await fetch(`${url}/a%20b.txt`)).text()).toBe('with a blank');
  });

  test('whoever goes in the middle costs nobody anything', async () => {
    const before = answered.length;
    const asked = request(`${url}/big.bin`, (response) => response.once('data', () => asked.destroy())).end();
    asked.on('error', () => {});
    await expect.poll(() => answered.length).toBeGreaterThan(before);
    expect(await (await fetch(`${url}/sub/`)).text()).toBe('below');
  });
});
