// The tables of xenstored/xenbus/README.md, printed from the data that the machines run on.
import { Backend } from '../../xenstored/xenbus/backend.ts';
import type { DeviceKey, DeviceKeys } from '../../xenstored/xenbus/keys.ts';
import { pvcallsKeys } from '../../xenstored/xenbus/pvcalls.ts';
import { stateName, states, type XenbusState } from '../../xenstored/xenbus/state.ts';
import {
  backendActs,
  backendEdges,
  backendTable,
  frontendActs,
  frontendEdges,
  frontendTable,
} from '../../xenstored/xenbus/table.ts';
import { vbdKeys } from '../../xenstored/xenbus/vbd.ts';
import { vifKeys } from '../../xenstored/xenbus/vif.ts';

type Row = readonly string[];

function table(head: Row, rows: readonly Row[]): string {
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at]!.length)));
  const line = (row: Row, fill = ' '): string =>
    `| ${row.map((cell, at) => cell.padEnd(widths[at]!, fill)).join(' | ')} |`;
  return [
    line(head),
    line(
      head.map(() => ''),
      '-',
    ),
    ...rows.map((row) => line(row)),
  ].join('\n');
}

function label(state: XenbusState): string {
  return `${state} ${stateName(state)}`;
}

function acts(rows: Readonly<Record<number, readonly string[]>>, other: string): string {
  return table(
    [`own \\ ${other}`, ...states.map((state) => `${state}`)],
    Object.entries(rows).map(([own, row]) => [label(states[Number(own)]!), ...row]),
  );
}

function words(of: Readonly<Record<string, string>>): string {
  return table(
    ['word', 'meaning'],
    Object.entries(of).map(([word, meaning]) => [`\`${word}\``, meaning]),
  );
}

function edges(of: Readonly<Record<XenbusState, readonly XenbusState[]>>): string {
  return table(
    ['from', 'to'],
    states.flatMap((from) => (of[from].length === 0 ? [] : [[label(from), of[from].join(', ')]])),
  );
}

/** Where a backend that has just been started comes to rest when everything succeeds and the frontend does not move. */
export function restOf(own: XenbusState, front: XenbusState, online: boolean): string {
  const machine = new Backend<string>(
    { hotplug: 'self', reconfigures: true },
    { own, front, online, hotplugStatus: undefined },
  );
  const todo = [...machine.begin()];
  for (let effect = todo.shift(); effect !== undefined; effect = todo.shift()) {
    if (effect.kind === 'prepare') todo.push(...machine.step({ kind: 'prepared', features: {} }));
    if (effect.kind === 'read') todo.push(...machine.step({ kind: 'keys', keys: 'k' }));
    if (effect.kind === 'connect') todo.push(...machine.step({ kind: 'connected', properties: {} }));
    if (effect.kind === 'reconfigure') todo.push(...machine.step({ kind: 'reconfigured' }));
    if (effect.kind === 'disconnect') todo.push(...machine.step({ kind: 'disconnected' }));
    if (effect.kind === 'look') todo.push(...machine.step({ kind: 'front', state: front }));
    if (todo.length > 20) throw new Error(`${own}/${front} does not come to rest`);
  }
  const { life, rings, node } = machine.state;
  return `${node}${rings === 'mapped' ? ' served' : ''}${life === 'gone' ? ' gone' : ''}`;
}

function rests(online: boolean): string {
  return table(
    ['own \\ front', ...states.map((state) => `${state}`)],
    states.slice(1).map((own) => [label(own), ...states.map((front) => restOf(own, front, online))]),
  );
}

function range({ type, range }: DeviceKey): string {
  if (type === 'number') return `${range[0]}..${range[1]}`;
  return type === 'word' ? range.join(', ') : type;
}

function keys(of: DeviceKeys): string {
  const rows = (side: 'backend' | 'frontend'): readonly Row[] =>
    of[side].map((key) => [
      side,
      `\`${key.key}\`${key.perQueue ? ' (q)' : ''}`,
      key.by,
      range(key),
      key.absent ?? 'required',
      key.says,
      key.from,
    ]);
  return table(
    ['in', 'key', 'written by', 'values', 'when missing', 'meaning', 'defined in'],
    [...rows('backend'), ...rows('frontend')],
  );
}

/** Each table by the name of its place in the README. */
export const printed: Readonly<Record<string, string>> = {
  'backend online': acts(backendTable.online, 'front'),
  'backend offline': acts(backendTable.offline, 'front'),
  'backend words': words(backendActs),
  'backend edges': edges(backendEdges),
  'backend rests online': rests(true),
  'backend rests offline': rests(false),
  frontend: acts(frontendTable, 'back'),
  'frontend words': words(frontendActs),
  'frontend edges': edges(frontendEdges),
  vbd: keys(vbdKeys),
  vif: keys(vifKeys),
  pvcalls: keys(pvcallsKeys),
};
