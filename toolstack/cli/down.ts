/** `stubdom0 down`: asks a running host to take itself down, and ends when it has. */
import { askDown } from '../io/control.ts';
import { Fault } from '../io/fault.ts';

export async function down(run: string): Promise<number> {
  if (!(await askDown(run))) throw new Fault(`no host runs in ${run}`);
  return 0;
}
