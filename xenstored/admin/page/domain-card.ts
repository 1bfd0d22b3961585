/**
 * One domain in full: what the toolstack says of it, its devices with their states, what it uses of its quotas. Draws what it is given.
 */
import { quotaBars } from './bars.ts';
import { type Child, h, type VNode } from './dom.ts';
import type { Names } from './names.ts';
import { deviceRoute } from './picture.ts';
import { endTone, endWords } from './states.ts';
import type { Device, Domain } from './types.ts';

export function domainCard(domain: Domain, names: Names, devices: readonly Device[]): VNode {
  const { domid, uuid, type, introduced, shutdown, memory, quotas } = domain;
  const own = devices.filter(({ frontend, backend }) => frontend.domid === domid || backend.domid === domid);
  const fact = (name: string, value: string | undefined): Child =>
    value !== undefined && [h('dt', { key: `t${name}` }, name), h('dd', { key: `d${name}` }, value)];
  return h(
    'section',
    { class: 'handshake', 'aria-labelledby': 'domain-title' },
    h('h2', { id: 'domain-title', tabindex: -1 }, names.short(domid)),
    h('p', { class: 'path' }, h('a', { href: `#/store/local/domain/${domid}` }, `/local/domain/${domid}`)),
    h(
      'dl',
      { class: 'facts' },
      fact('uuid', uuid ?? undefined),
      fact('type', type ?? undefined),
      fact('memory', mebibytes(memory?.target_kib)),
      fact('at most', mebibytes(memory?.max_kib)),
      fact(
        'its ring',
        introduced === true ? 'is served' : introduced === false ? 'is not served' : undefined,
      ),
      fact('asked to', shutdown ?? undefined),
    ),
    quotas &&
      Object.keys(quotas).length > 0 && [
        h('h3', {}, 'Quotas'),
        h('div', { class: 'quota' }, quotaBars(quotas, 20)),
      ],
    h('h3', {}, 'Devices'),
    own.length === 0
      ? h('p', { class: 'faint' }, 'none')
      : h(
          'ul',
          { class: 'devices' },
          own.map((device) => {
            const end = device.frontend.domid === domid ? 'frontend' : 'backend';
            const other = device[end === 'frontend' ? 'backend' : 'frontend'].domid;
            return h(
              'li',
              { key: deviceRoute(device) },
              h('a', { href: `#/domains${deviceRoute(device)}` }, `${device.kind} ${device.devid}`),
              h(
                'span',
                { class: `pill ${endTone(device, end)}` },
                endWords(device, end) || endWords(device, 'backend'),
              ),
              h('span', { class: 'faint' }, `${end}; other end in ${names.short(other)}`),
            );
          }),
        ),
  );
}

function mebibytes(kib: number | null | undefined): string | undefined {
  return typeof kib === 'number' ? `${Math.round(kib / 1024)} MiB` : undefined;
}
