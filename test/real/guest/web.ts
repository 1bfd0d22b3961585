#!/usr/bin/env node
/**
 * A guest that is a Node program and has no network but its sockets in another domain: Node's own HTTP server and client over our frontend, on real
 * Xen. `web.js PORT URL` serves at PORT: GET /N gives N bytes, POST answers with the MD5 of what it got. It fetches URL again and again and
 * prints its MD5, or why not, each time.
 */
import { createHash, type Hash } from 'node:crypto';
import { Agent, createServer, get } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { sockfront } from '../../../netback/xensock/front/device.ts';
import { Sockets } from '../../../netback/xensock/front/index.ts';
import { xenPlatform } from '../../../osdep/xen/platform.ts';
import { runFrontends } from '../../../xenstored/client/frontend.ts';
import { connect } from '../../../xenstored/client/index.ts';

const PAUSE_MS = 500;
const BLOCK = Buffer.from(Uint32Array.from({ length: 1 << 14 }, (_, i) => Math.imul(i, 0x9e3779b1)).buffer);

const [port = '', url = ''] = process.argv.slice(2);
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const sockets = new Sockets();
const agent = Object.assign(new Agent({ keepAlive: true }), { createConnection: sockets.connect });

function* blocks(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= BLOCK.length) yield BLOCK.subarray(0, left);
}

const web = createServer(async (request, response) => {
  try {
    if (request.method === 'POST') response.end((await summed(request)).digest('hex'));
    else {
      const length = Number(request.url?.slice(1));
      response.setHeader('content-length', length);
      await pipeline(blocks(length), response);
    }
  } catch (error) {
    print(`BROKEN ${(error as { code?: string }).code}.`);
  }
});

async function summed(body: AsyncIterable<Buffer>): Promise<Hash> {
  const hash = createHash('md5');
  for await (const part of body) hash.update(part);
  return hash;
}

async function fetched(): Promise<string> {
  const hash = await new Promise<Hash>((resolve, reject) => {
    get(url, { agent }, (response) => summed(response).then(resolve, reject)).on('error', reject);
  });
  return hash.digest('hex');
}

async function fetchOnAndOn(): Promise<never> {
  for (;;) {
    await fetched().then(
      (md5) => print(`FETCHED ${md5}.`),
      (error: { code?: string }) => print(`LOST ${error.code}.`),
    );
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function serve(): void {
  const server = sockets.serve(web, { noDelay: true });
  server.on('error', (error: Error) => print(`NOT SERVING: ${error.message}`));
  server.listen(Number(port), () => print('SERVING.'));
}

const store = await connect();
const driver = sockfront({
  platform: xenPlatform(),
  onDriver: (devid, driver) => {
    sockets.register(driver);
    print(`DEVICE ${devid} ${driver.extended ? 'extended' : 'plain'}.`);
    serve();
    void fetchOnAndOn();
  },
});
await runFrontends(driver, { store, log: print });
