/**
 * Domains as boxes and their devices as lines: backends on the left, frontends on the right, each device on its own line with both of its
 * states written at its ends. Every line is a link. Knows geometry, and no service.
 */
import { h, type VNode } from './dom.ts';
import type { Names } from './names.ts';
import { deviceTone, endTone, endWords } from './states.ts';
import type { Device } from './types.ts';

const ROW = 24;
const HEAD = 30;
const GAP = 18;
const PAD = 8;

interface Box {
  readonly domid: number;
  readonly devices: readonly Device[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface PictureOptions {
  readonly width: number;
  readonly names: Names;
  readonly devices: readonly Device[];
  /** Domains that get a box though no device is theirs. */
  readonly idle: readonly number[];
  readonly chosen: string | undefined;
}

/** The part of the address that names a device: `/3/vbd/51712`. */
export function deviceRoute({ kind, devid, frontend }: Device): string {
  return `/${frontend.domid}/${kind}/${devid}`;
}

export function picture({ width, names, devices, idle, chosen }: PictureOptions): VNode {
  const boxWidth = Math.min(300, Math.max(132, Math.floor(width * 0.36)));
  const backs = column(devices, 'backend', 0.5, boxWidth);
  const fronts = column(devices, 'frontend', width - boxWidth - 0.5, boxWidth, idle);
  const height = Math.max(...[...backs, ...fronts].map((box) => box.y + box.height), 40) + 1;
  const place = (boxes: readonly Box[], device: Device): number => {
    const box = boxes.find((each) => each.devices.includes(device))!;
    return box.y + HEAD + box.devices.indexOf(device) * ROW + ROW / 2;
  };
  const left = boxWidth + 0.5;
  const right = width - boxWidth - 0.5;
  const lines = devices.map((device) => {
    const [from, to] = [place(backs, device), place(fronts, device)];
    const middle = (left + right) / 2;
    const route = deviceRoute(device);
    const { frontend, backend } = device;
    const tone = deviceTone(device);
    const curve = `M${left} ${from}C${middle} ${from} ${middle} ${to} ${right} ${to}`;
    const label = [
      `${device.kind} ${device.devid}:`,
      `backend in ${names.called(backend.domid)} ${endWords(device, 'backend')},`,
      `frontend in ${names.called(frontend.domid)} ${endWords(device, 'frontend')}`,
    ].join(' ');
    // The link has the rows at both ends, too, below what is written there.
    const ends = [
      { x: 0, y: from - ROW / 2 },
      { x: right, y: to - ROW / 2 },
    ];
    return h(
      'g',
      { key: route, class: `line ${tone}${route === chosen ? ' chosen' : ''}` },
      h(
        'a',
        { href: `#/domains${route}`, 'aria-label': label, 'aria-current': route === chosen && 'true' },
        ends.map((at) => h('rect', { class: 'wide', ...at, width: boxWidth, height: ROW })),
        h('path', { class: 'wide', d: curve }),
        h('path', { class: 'thin', d: curve }),
      ),
      end(device, 'backend', boxWidth - PAD, from, boxWidth),
      end(device, 'frontend', width - boxWidth + PAD, to, boxWidth),
    );
  });
  return h(
    'svg',
    {
      class: 'picture',
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: 'group',
      'aria-label': 'Devices',
    },
    [...backs.map((box) => drawn(box, 'b')), ...fronts.map((box) => drawn(box, 'f'))],
    lines,
  );

  function drawn(box: Box, side: string): VNode {
    return h(
      'g',
      { key: `${side}${box.domid}`, class: 'box' },
      h('rect', { x: box.x, y: box.y + 0.5, width: box.width, height: box.height, rx: 6 }),
      h(
        'a',
        {
          href: `#/domains/${box.domid}`,
          'aria-label': names.short(box.domid),
        },
        h(
          'text',
          { x: box.x + PAD, y: box.y + 20, class: 'box-name' },
          cut(names.short(box.domid), box.width - 2 * PAD, 7.4),
        ),
      ),
    );
  }
}

/** What is written at one end of a device's line: its state, and on the frontend's side what it is. */
function end(device: Device, side: 'frontend' | 'backend', x: number, y: number, width: number): VNode {
  const name = `${device.kind} ${device.devid}`;
  const state = endWords(device, side);
  const both = side === 'backend' ? [name, state] : [state, name];
  // Where it is narrow each end says one of both.
  const short = side === 'backend' ? state : name;
  const words = width < 190 ? short : both.filter((part) => part !== '').join(' · ');
  const dot = side === 'frontend' ? x - PAD : x + PAD;
  return h(
    'g',
    { class: `end ${endTone(device, side)}`, 'aria-hidden': 'true' },
    h('circle', { cx: dot, cy: y, r: 4.5 }),
    h(
      'text',
      {
        x: side === 'frontend' ? x + 4 : x - 4,
        y: y + 4,
        'text-anchor': side === 'frontend' ? 'start' : 'end',
      },
      cut(words, width - 2 * PAD - 8, 6.6),
    ),
  );
}

function column(
  devices: readonly Device[],
  side: 'frontend' | 'backend',
  x: number,
  width: number,
  idle: readonly number[] = [],
): Box[] {
  const byDomain = new Map<number, Device[]>();
  for (const device of devices)
    byDomain.set(device[side].domid, [...(byDomain.get(device[side].domid) ?? []), device]);
  const boxes: Box[] = [];
  let y = 0;
  const busy = [...byDomain].sort(([a], [b]) => a - b);
  for (const [domid, own] of [...busy, ...idle.map((domid): [number, Device[]] => [domid, []])]) {
    const height = HEAD + own.length * ROW + (own.length > 0 ? 6 : 0);
    boxes.push({ domid, devices: own, x, y, width, height });
    y += height + GAP;
  }
  return boxes;
}

/** Names are guests' to choose, and as long as they like. */
function cut(text: string, width: number, perLetter: number): string {
  const most = Math.max(4, Math.floor(width / perLetter));
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
