#!/usr/bin/env node
/**
 * serial-model: a device model in a domain of its own, with one device, a serial port for the domain that the toolstack has made it the model of (the node
 * `target` of its own). Privileged over that domain, and over nobody else. Whoever starts it again goes on where it was. Decides nothing else.
 */
import { parseArgs } from 'node:util';
import { Poller } from '../../osdep/os/poll.ts';
import type { Platform } from '../../osdep/platform.ts';
import { connect } from '../../xenstored/client/index.ts';
import { parseNumber } from '../../xenstored/xenbus/value.ts';
import { terminalNode } from '../core/console.ts';
import { modelState } from '../core/model.ts';
import { UART_STATE_BYTES } from '../core/uart.ts';
import { tellTerminal } from '../io/ptyend.ts';
import { SerialPort } from './serial.ts';

const usage = `usage: serial-model [--platform xen|sim] [--run DIR]

Emulates a serial port (16550A, I/O port 0x3f8, IRQ 4) for the domain whose device model this domain is.

  --platform xen|sim  the machine; default: sim where a hypervisor of ours is in DIR, else xen
  --run DIR           the host's run directory (STUBDOM0_RUN); default: /run/stubdom0
`;

const MOST_DOMID = 0x7fef;

const log = (line: string): void => void process.stderr.write(`serial-model: ${line}\n`);

serve().catch((error: unknown) => {
  log(error instanceof Error ? error.message : String(error));
  process.exit(1);
});

async function serve(): Promise<void> {
  const { values } = parseArgs({
    options: { platform: { type: 'string' }, run: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const { run = process.env.STUBDOM0_RUN ?? '/run/stubdom0' } = values;
  const { platform, state } = await machine(values.platform, run);
  // A domain of its own has the store behind its own ring.
  const store = await connect({ platform, first: 'wait' });
  const [own, target] = await Promise.all([store.readText('domid'), store.findText('target')]);
  const modelDomid = parseNumber(own, 1, MOST_DOMID);
  const domid = parseNumber(target, 1, MOST_DOMID);
  if (modelDomid === undefined || domid === undefined)
    throw new Error('this domain is nobody\'s device model: it has no node "target"');
  const mark = platform.random.u32();
  const port = new SerialPort({ platform, poller: new Poller(), domid, mark, state });
  const node = terminalNode(domid, 'serial', 0);
  await tellTerminal(store, node, port.terminal, mark);
  await store.write(modelState({ domid, modelDomid }), 'running');
  log(`ready for domain ${domid}'s serial port`);
  const stop = (): void => {
    port.close();
    // Its name may be another terminal's soon.
    void store.write(node, '').finally(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.resume().once('end', stop);
}

/**
 * The machine, and bytes for the device's state. On the simulator these are the domain's own, in the first of its frames, and outlive the process; elsewhere a
 * new process begins with a new device.
 */
async function machine(
  wanted: string | undefined,
  run: string,
): Promise<{ readonly platform: Platform; readonly state: Uint8Array }> {
  if (wanted !== undefined && wanted !== 'xen' && wanted !== 'sim')
    throw new Error(`--platform ${wanted}: neither xen nor sim`);
  const { simIsThere, simPlatform } = await import('../../osdep/sim/client.ts');
  if (wanted === 'sim' || (wanted === undefined && simIsThere(run))) {
    const platform = simPlatform({ run });
    return { platform, state: platform.guest.mapOwn([0]).bytes.subarray(0, UART_STATE_BYTES) };
  }
  const { xenPlatform } = await import('../../osdep/xen/platform.ts');
  return { platform: xenPlatform(), state: new Uint8Array(UART_STATE_BYTES) };
}
