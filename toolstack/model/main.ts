#!/usr/bin/env node
/**
 * serial-model: a device model in a domain of its own, with one device, a serial port for the domain that the toolstack has made it the model of (the node
 * `target` of its own). Privileged over that domain, and over nobody else. Whoever starts it again goes on where it was. Decides nothing else.
 */
import { parseArgs } from 'node:util';
import { type Machine, openMachine } from '../../osdep/machine.ts';
import { Poller } from '../../osdep/os/poll.ts';
import { connect } from '../../xenstored/client/index.ts';
import { onStop } from '../../xenstored/client/stop.ts';
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
  const platform = await openMachine(values.platform, run);
  // A domain of its own has the store behind its own ring.
  const store = await connect({ platform, first: 'wait' });
  const [own, target] = await Promise.all([store.readText('domid'), store.findText('target')]);
  const modelDomid = parseNumber(own, 1, MOST_DOMID);
  const domid = parseNumber(target, 1, MOST_DOMID);
  if (modelDomid === undefined || domid === undefined)
    throw new Error('this domain is nobody\'s device model: it has no node "target"');
  const mark = platform.random.u32();
  const port = new SerialPort({ platform, poller: new Poller(), domid, mark, state: stateOn(platform) });
  const node = terminalNode(domid, 'serial', 0);
  await tellTerminal(store, node, port.terminal, mark);
  await store.write(modelState({ domid, modelDomid }), 'running');
  log(`ready for domain ${domid}'s serial port`);
  onStop(() => {
    port.close();
    // Its name may be another terminal's soon.
    void store.write(node, '').finally(() => process.exit(0));
  });
}

/**
 * Bytes for the device's: on the simulator the domain's own, in the first of its frames, which outlive the process; elsewhere a new process begins with a
 * new device.
 */
function stateOn(machine: Machine): Uint8Array {
  return machine.name === 'sim'
    ? machine.guest.mapOwn([0]).bytes.subarray(0, UART_STATE_BYTES)
    : new Uint8Array(UART_STATE_BYTES);
}
