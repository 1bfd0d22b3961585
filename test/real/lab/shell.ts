/**
 * A person in dom0: the terminal is the machine's console, and the machine ends with the shell.
 */
import { join } from 'node:path';
import { Machine, processors } from './machine.ts';
import type { Order } from './protocol.ts';
import type { StoreKind } from './scenario.ts';
import { writeOrder } from './stage.ts';

export interface ShellOptions {
  readonly boot: string;
  readonly app: string;
  readonly packages: string;
  /** A folder that goes afterwards. */
  readonly scratch: string;
  readonly store: StoreKind;
  readonly hap: boolean;
}

export async function shell({ boot, app, packages, scratch, store, hap }: ShellOptions): Promise<void> {
  const out = join(scratch, 'out');
  // A terminal may say 0 when it does not know.
  const [columns, rows] = [process.stdout.columns || 80, process.stdout.rows || 24];
  const order: Order = { store, processors: processors(), rows: [], shell: { columns, rows } };
  await writeOrder(out, order);
  const machine = new Machine({
    boot,
    app,
    packages,
    out,
    hap,
    serial: join(scratch, 'serial.log'),
    interactive: true,
  });
  const stop = () => void machine.stop('stopped');
  process.on('SIGTERM', stop);
  process.on('SIGHUP', stop);
  const why = await machine.off;
  if (why !== undefined) throw new Error(why);
}
