/** `stubdom0 status`: what a running host says of itself, as a table or as JSON. */
import { askStatus } from '../io/control.ts';
import { Fault } from '../io/fault.ts';
import { type HostState, readState } from '../io/state.ts';

async function stateOf(run: string): Promise<HostState> {
  const state = await askStatus(run);
  if (state !== undefined) return state;
  throw new Fault(
    readState(run) === undefined
      ? `no host runs in ${run}`
      : `the host in ${run} was killed; the next "stubdom0 up" there clears what it left`,
  );
}

export async function status(run: string, form: 'text' | 'json'): Promise<number> {
  const state = await stateOf(run);
  if (form === 'json') {
    console.log(JSON.stringify(state, undefined, 2));
    return 0;
  }
  console.log(`host ${state.host} is ${state.phase} since ${state.since}`);
  console.log(`store ${state.socket}`);
  if (state.url !== undefined) console.log(`admin ${state.url}`);
  console.log('');
  console.log(
    table([
      ['PROCESS', 'STATE', 'PID', 'RESTARTS'],
      ...state.processes.map(({ name, phase, id, restarts }) => [
        name,
        phase,
        `${id?.pid ?? '-'}`,
        `${restarts}`,
      ]),
    ]),
  );
  return 0;
}

/** Columns as wide as their longest entry. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((entry, column) => entry.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
