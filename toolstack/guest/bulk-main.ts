#!/usr/bin/env node
/**
 * Many guests in one process, handed over one by one. Standard input: a line of JSON for each, `{"domid": 7, "token": "..."}`. Standard output: for each
 * `{"domid": 7, "ready": true}` when the devices that it had are connected, and once `{"domid": 7, "over": "why"}`. A process whose standard input has ended
 * goes on with those that it has, and ends with the last of them. Which machine: STUBDOM0_RUN.
 */
import { createInterface } from 'node:readline';
import { runBulk } from './bulk.ts';

const say = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
};
// Nobody has to listen.
process.stdout.on('error', () => {});

let living = 0;
let closed = false;

async function host(domid: number, token: string): Promise<void> {
  living++;
  const log = (line: string): void => void process.stderr.write(`${domid}: ${line}\n`);
  const over = await runBulk({ token, log, ready: () => say({ domid, ready: true }) });
  say({ domid, over });
  living--;
  leave();
}

function leave(): void {
  if (closed && living === 0) process.exit(0);
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  try {
    const { domid, token } = JSON.parse(line) as { domid?: unknown; token?: unknown };
    if (typeof domid !== 'number' || typeof token !== 'string') throw new Error('no domid, or no token');
    void host(domid, token);
  } catch (error) {
    process.stderr.write(`not understood: ${error instanceof Error ? error.message : error}\n`);
  }
});
input.on('close', () => {
  closed = true;
  leave();
});
