/**
 * The devices as a table, for who would rather read than look at the picture: all of them, and the domains that have none. Draws what it is
 * given.
 */
import { h, type VNode } from './dom.ts';
import type { Names } from './names.ts';
import { deviceRoute } from './picture.ts';
import { endTone, endWords } from './states.ts';
import type { Device } from './types.ts';

const heads = ['domain', 'device', 'frontend', 'backend', 'served by'];

export function deviceTable(devices: readonly Device[], idle: readonly number[], names: Names): VNode {
  return h(
    'table',
    {},
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        heads.map((name) => h('th', { scope: 'col' }, name)),
      ),
    ),
    h(
      'tbody',
      {},
      devices.map((device) => {
        const route = deviceRoute(device);
        return h(
          'tr',
          { key: route },
          h('td', { class: 'who' }, names.short(device.frontend.domid)),
          h('td', {}, h('a', { href: `#/domains${route}` }, `${device.kind} ${device.devid}`)),
          h('td', {}, pill(device, 'frontend')),
          h('td', {}, pill(device, 'backend')),
          h('td', { class: 'who' }, names.short(device.backend.domid)),
        );
      }),
      idle.map((domid) =>
        h(
          'tr',
          { key: `d${domid}` },
          h('td', { class: 'who' }, h('a', { href: `#/domains/${domid}` }, names.short(domid))),
          h('td', { colspan: 4, class: 'faint' }, 'no devices'),
        ),
      ),
    ),
  );
}

function pill(device: Device, end: 'frontend' | 'backend'): VNode {
  const { state } = device[end];
  return h(
    'span',
    { class: `pill ${endTone(device, end)}` },
    `${state === 0 ? '' : `${state} `}${endWords(device, end)}`,
  );
}
