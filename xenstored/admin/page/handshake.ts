/**
 * One device in full: its two state machines side by side, what each end has told the other, and a timeline of who wrote what when. Draws
 * what it is given.
 */
import { type Child, h, type VNode } from './dom.ts';
import type { Names } from './names.ts';
import { endWords, isStateless, meaning, stateName, tone, walk } from './states.ts';
import type { Moment } from './timeline.ts';
import type { Device, DeviceEnd } from './types.ts';
import { duration } from './words.ts';

export interface HandshakeOptions {
  readonly device: Device;
  readonly names: Names;
  readonly moments: readonly Moment[];
  /** Whether the daemon tells who wrote. */
  readonly authors: boolean;
}

export function handshake({ device, names, moments, authors }: HandshakeOptions): VNode {
  return h(
    'section',
    { class: 'handshake', 'aria-labelledby': 'handshake-title' },
    h('h2', { id: 'handshake-title', tabindex: -1 }, `${device.kind} ${device.devid}`),
    h(
      'div',
      { class: 'machines' },
      machine('backend', device.backend, names, moments),
      machine('frontend', device.frontend, names, moments),
    ),
    isStateless(device) &&
      h('p', { class: 'faint' }, `A domain’s first console shakes no hands: ${endWords(device, 'backend')}.`),
    timeline(device, moments, names, authors),
    told(device),
  );
}

function machine(
  end: 'frontend' | 'backend',
  { domid, path, state, there, error }: DeviceEnd,
  names: Names,
  moments: readonly Moment[],
): VNode {
  const seen = new Set(
    moments.filter((moment) => moment.path === `${path}/state`).map((moment) => Number(moment.value)),
  );
  const states = state === 0 || state > 6 ? [...walk, state] : walk;
  return h(
    'div',
    { class: 'machine' },
    h('h3', {}, `${end === 'backend' ? 'Backend' : 'Frontend'} in ${names.short(domid)}`),
    h('p', { class: 'faint path' }, h('a', { href: `#/store${path}` }, path)),
    there === false && h('p', { class: 'bad' }, 'there is no such directory'),
    error !== undefined && h('p', { class: 'bad' }, cut(error)),
    h(
      'ol',
      { 'aria-label': `States of the ${end}` },
      states.map((each) =>
        h(
          'li',
          {
            key: String(each),
            class: `state ${each === state ? `now ${tone(each)}` : seen.has(each) ? 'been' : ''}`,
            'aria-current': each === state && 'step',
          },
          h('span', { class: 'number', 'aria-hidden': 'true' }, String(each)),
          h('span', { class: 'state-name' }, stateName(each)),
          h('span', { class: 'faint' }, meaning(end, each)),
        ),
      ),
    ),
  );
}

/** What a guest writes may be long; the store has all of it. */
function cut(text: string): string {
  return text.length > VALUE_SHOWN ? `${text.slice(0, VALUE_SHOWN)}…` : text;
}

/** Keys that make the shared memory and the bell: what a handshake is about. */
const wiring =
  /(^|\/)((tx-|rx-|ctrl-)?ring-ref\d*|event-channel(-tx|-rx|-ctrl)?|port|ring-page-order|num-ring-pages|protocol)$/;
const dull = /(^|\/)(state|frontend|backend|frontend-id|backend-id)$/;

function told({ backend, frontend }: Device): VNode {
  const keysOf = (end: DeviceEnd): [string, string][] =>
    Object.entries(end.keys ?? {})
      .filter(([key]) => !dull.test(key))
      .map(([key, value]): [string, string] => [key, textOf(value)]);
  const list = (title: string, keys: readonly (readonly [string, string])[]): VNode =>
    h(
      'div',
      {},
      h('h3', {}, title),
      keys.length > KEYS_SHOWN &&
        h('p', { class: 'faint' }, `${KEYS_SHOWN} of ${keys.length} keys; all of them are in the store`),
      keys.length === 0
        ? h('p', { class: 'faint' }, 'nothing yet')
        : h(
            'dl',
            { class: 'keys' },
            keys
              .slice(0, KEYS_SHOWN)
              .map(([key, value]) => [
                h('dt', { key: `k${key}`, class: wiring.test(key) ? 'wiring' : undefined }, key),
                h('dd', { key: `v${key}` }, value === '' ? '“”' : cut(value)),
              ]),
          ),
    );
  return h(
    'div',
    { class: 'told' },
    list('The backend tells', keysOf(backend)),
    list('The frontend tells', keysOf(frontend)),
  );
}

const KEYS_SHOWN = 100;
const VALUE_SHOWN = 300;

/** A key's value, whether the service gives it as text or as a value with both forms. */
function textOf(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'text' in value)
    return 'masked' in value && value.masked ? '••••••' : String(value.text);
  return String(value);
}

const MOMENTS_SHOWN = 200;

function timeline(device: Device, moments: readonly Moment[], names: Names, authors: boolean): VNode {
  const shown = moments.slice(-MOMENTS_SHOWN);
  const start = shown[0]?.at ?? 0;
  const line = (moment: Moment, index: number): VNode => {
    const end = moment.path.startsWith(device.backend.path) ? 'backend' : 'frontend';
    const key = moment.path.slice(device[end].path.length + 1) || '(all)';
    const before = shown[index - 1]?.at ?? moment.at;
    return h(
      'tr',
      { key: String(moment.key), class: key === 'state' ? 'state-row' : undefined },
      h(
        'td',
        { class: 'time', title: `+${duration(moment.at - before)} after the line above` },
        duration(moment.at - start),
      ),
      h('td', { class: 'who' }, moment.by === undefined ? 'unknown' : names.short(moment.by)),
      h('td', {}, end),
      h('td', {}, h('code', {}, key)),
      h('td', { class: 'value' }, saying(key, moment)),
    );
  };
  return h(
    'div',
    { class: 'timeline' },
    h('h3', {}, 'Who wrote what when'),
    !authors && h('p', { class: 'faint' }, 'This daemon does not tell who writes.'),
    shown.length === 0
      ? h('p', { class: 'faint' }, 'Nothing was written since this page was opened.')
      : h(
          'div',
          { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Timeline', ref: stayAtEnd },
          h(
            'table',
            {},
            h(
              'thead',
              {},
              h(
                'tr',
                {},
                ['time', 'who', 'end', 'key', 'value'].map((name) => h('th', {}, name)),
              ),
            ),
            h('tbody', {}, shown.map(line)),
          ),
        ),
  );
}

/** The last line is the latest: it stays in view until somebody scrolls away from it. */
function stayAtEnd(element: HTMLElement): void {
  let atEnd = true;
  element.addEventListener('scroll', () => {
    atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 4;
  });
  const follow = (): void => {
    if (atEnd) element.scrollTop = element.scrollHeight;
  };
  new MutationObserver(follow).observe(element, { childList: true, subtree: true });
}

const deeds: Readonly<Record<string, string>> = {
  write: 'written',
  create: 'made',
  rm: 'removed',
  gone: 'gone with its domain',
  perms: 'permissions set',
};

function saying(key: string, { value, what }: Moment): Child {
  if (value === undefined || value === '' || what === 'perms')
    return h('em', { class: 'faint' }, deeds[what] ?? what);
  return key === 'state' && /^\d$/.test(value) ? `${value} ${stateName(Number(value))}` : value;
}
