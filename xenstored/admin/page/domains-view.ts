/**
 * The domains and their devices: the picture, a table of the same for who would rather read, and the chosen device's handshake. Asks the
 * service again shortly after something has changed that a device is made of; meanwhile states follow the stream.
 */
import type { App } from './app.ts';
import { deviceTable } from './device-table.ts';
import { type Child, h, type VNode } from './dom.ts';
import { domainCard } from './domain-card.ts';
import { handshake } from './handshake.ts';
import { deviceRoute, picture } from './picture.ts';
import type { View } from './shell.ts';
import { tone } from './states.ts';
import { type Moment, story } from './timeline.ts';
import { Trace } from './trace.ts';
import type { Change, Device, DeviceEnd, Domain } from './types.ts';
import { counted } from './words.ts';

const ASK_MS = 200;
/** A timeline is told anew not more often: hundreds of new lines a frame would be all that the browser does. */
const STORY_MS = 250;
/** Devices drawn: more would be a carpet. The table has them all. */
const DRAWN = 80;

export class DomainsView implements View {
  readonly title = 'Domains';
  readonly #app: App;
  readonly #trace: Trace;
  #domains: readonly Domain[] = [];
  #devices: readonly Device[] = [];
  #known = false;
  #filter = '';
  #chosen: string | undefined;
  #here = false;
  #timer = 0;
  #asking = false;
  #again = false;
  #pauseMs = ASK_MS;
  #width = 720;
  #told: { readonly of: string; readonly at: number; readonly moments: readonly Moment[] } | undefined;
  #telling = 0;
  /** The table is open. */
  #reading = false;

  constructor(app: App) {
    this.#app = app;
    this.#trace = new Trace(app);
    app.watch((changes) => this.#changed(changes));
  }

  arrived(rest: string): void {
    this.#here = true;
    const before = this.#chosen;
    this.#chosen = rest.length > 1 ? rest : undefined;
    if (before !== undefined && this.#chosen === undefined) focusLink(before);
    this.#trace.follow(this.#chosen !== undefined && !/^\/\d+$/.test(this.#chosen));
    void this.#ask();
  }

  left(): void {
    this.#here = false;
    this.#trace.follow(false);
  }

  #changed(changes: readonly Change[] | undefined): void {
    if (!this.#here) return;
    if (changes === undefined) this.#trace.forget();
    else {
      this.#trace.changed();
      this.#follow(changes);
      if (!changes.some(({ path }) => aboutDevices(path))) return;
    }
    this.#askSoon();
  }

  #askSoon(): void {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      void this.#ask();
    }, this.#pauseMs);
  }

  /** States, which are looked at most, do not wait for the next answer. */
  #follow(changes: readonly Change[]): void {
    const states = new Map<string, number>();
    for (const { path, node } of changes)
      if (path.endsWith('/state') && node && /^[0-8]$/.test(node.value.text))
        states.set(path.slice(0, -'/state'.length), Number(node.value.text));
    if (states.size === 0) return;
    const now = (end: DeviceEnd): DeviceEnd => ({ ...end, state: states.get(end.path) ?? end.state });
    this.#devices = this.#devices.map((device) => ({
      ...device,
      frontend: now(device.frontend),
      backend: now(device.backend),
    }));
  }

  async #ask(): Promise<void> {
    // An answer that is under way may be too old.
    this.#again = this.#asking;
    if (this.#asking || this.#app.liveState.how !== 'live') return;
    this.#asking = true;
    const begun = performance.now();
    await this.#app.attempt(async () => {
      const [domains, devices] = await Promise.all([
        this.#app.api.get<{ readonly domains: readonly Domain[] }>('/v1/domains'),
        this.#app.api.get<{ readonly devices: readonly Device[] }>('/v1/devices'),
      ]);
      this.#domains = domains.domains;
      this.#app.names.learn(domains.domains);
      this.#devices = devices.devices;
      this.#known = true;
    });
    this.#asking = false;
    // A host with many devices is asked less often: a fifth of the time at most.
    this.#pauseMs = Math.max(ASK_MS, 4 * (performance.now() - begun));
    if (this.#again) this.#askSoon();
  }

  render(): Child {
    const shown = this.#devices.filter((device) => this.#fits(device));
    const chosen = this.#devices.find((device) => deviceRoute(device) === this.#chosen);
    return h(
      'div',
      { class: 'domains' },
      h(
        'section',
        { class: 'board', 'aria-label': 'Domains and devices' },
        h(
          'div',
          { class: 'bar' },
          h('h1', {}, 'Domains'),
          h(
            'span',
            { class: 'faint' },
            `${counted(this.#domains.length, 'domain')}, ${counted(this.#devices.length, 'device')}`,
          ),
          h('span', { class: 'grow' }),
          h('input', {
            type: 'search',
            'aria-label': 'Only domains and devices with this in their name',
            placeholder: 'Filter',
            value: this.#filter,
            on: {
              input: (event) => {
                this.#filter = (event.target as HTMLInputElement).value;
                this.#app.refresh();
              },
            },
          }),
        ),
        this.#drawing(shown),
        this.#legend(),
        this.#table(shown),
      ),
      this.#chosen !== undefined && this.#detail(chosen),
    );
  }

  #fits({ kind, devid, frontend, backend }: Device): boolean {
    const { names } = this.#app;
    return this.#sought(`${kind} ${devid} ${names.short(frontend.domid)} ${names.short(backend.domid)}`);
  }

  #sought(text: string): boolean {
    return text.toLowerCase().includes(this.#filter.trim().toLowerCase());
  }

  /** Domains at neither end of any device. */
  #idle(): number[] {
    const busy = new Set(this.#devices.flatMap(({ frontend, backend }) => [frontend.domid, backend.domid]));
    return this.#domains
      .map(({ domid }) => domid)
      .filter((domid) => !busy.has(domid) && this.#sought(this.#app.names.short(domid)));
  }

  #drawing(devices: readonly Device[]): VNode {
    const none = this.#known ? 'No domains.' : 'Loading…';
    const idle = this.#idle();
    return h(
      'div',
      {
        class: 'drawing',
        ref: (element) =>
          new ResizeObserver(() => {
            this.#width = element.clientWidth;
            this.#app.refresh();
          }).observe(element),
      },
      devices.length + idle.length === 0
        ? h('p', { class: 'faint' }, none)
        : picture({
            width: this.#width,
            names: this.#app.names,
            devices: devices.slice(0, DRAWN),
            idle: idle.slice(0, Math.max(0, DRAWN - devices.length)),
            chosen: this.#chosen,
          }),
      devices.length > DRAWN &&
        h('p', { class: 'faint' }, `${DRAWN} of ${devices.length} devices are drawn: filter for others.`),
    );
  }

  #legend(): VNode {
    const entry = (state: number, text: string): VNode =>
      h('li', {}, h('span', { class: `swatch ${tone(state)}`, 'aria-hidden': 'true' }), text);
    return h(
      'ul',
      { class: 'legend', 'aria-label': 'Colours' },
      entry(4, 'both ends connected'),
      entry(2, 'shaking hands'),
      entry(5, 'closing or closed'),
      entry(0, 'an end is missing'),
    );
  }

  /** A thousand rows that nobody sees are not drawn. */
  #table(devices: readonly Device[]): VNode {
    const toggle = (event: Event): void => {
      this.#reading = (event.currentTarget as HTMLDetailsElement).open;
      this.#app.refresh();
    };
    return h(
      'details',
      { class: 'scroll', on: { toggle } },
      h('summary', {}, 'As a table'),
      this.#reading && deviceTable(devices, this.#idle(), this.#app.names),
    );
  }

  /** Whoever chooses something is taken to what is told of it: where the screen is narrow it is below the picture. */
  #detail(device: Device | undefined): VNode {
    const { names, happened } = this.#app;
    const domain = this.#domains.find(({ domid }) => `/${domid}` === this.#chosen);
    const words = this.#known ? 'It is no more.' : 'Loading…';
    return h(
      'aside',
      {
        class: 'detail',
        key: `detail ${this.#chosen}`,
        tabindex: -1,
        'aria-label': domain ? names.short(domain.domid) : device ? `${device.kind} ${device.devid}` : words,
        ref: (element) =>
          queueMicrotask(() => {
            element.focus({ preventScroll: true });
            element.scrollIntoView();
          }),
        on: {
          keydown: (event) => {
            if (event.key === 'Escape') location.hash = '#/domains';
          },
        },
      },
      h('a', { class: 'close', href: '#/domains', 'aria-label': 'Close', title: 'Close (Escape)' }, '✕'),
      domain
        ? domainCard(domain, names, this.#devices)
        : device
          ? handshake({
              device,
              names,
              moments: this.#moments(device),
              authors: this.#trace.offered || happened.some(({ change }) => change.by !== undefined),
            })
          : h('p', { class: 'faint' }, words),
    );
  }

  #moments(device: Device): readonly Moment[] {
    const now = performance.now();
    const of = deviceRoute(device);
    if (this.#told?.of !== of || now - this.#told.at >= STORY_MS)
      this.#told = { of, at: now, moments: this.#story(device) };
    else
      this.#telling ||= setTimeout(() => {
        this.#telling = 0;
        this.#app.refresh();
      }, STORY_MS);
    return this.#told.moments;
  }

  #story({ frontend, backend }: Device): Moment[] {
    const below = [`${frontend.path}/`, `${backend.path}/`];
    const isAbout = (path: string): boolean =>
      path === frontend.path || path === backend.path || below.some((start) => path.startsWith(start));
    return story(this.#app.happened, this.#trace.entries, isAbout);
  }
}

/** To the link that one came from. */
function focusLink(route: string): void {
  const links = document.querySelectorAll<HTMLElement>('.picture a');
  [...links].find((link) => link.getAttribute('href') === `#/domains${route}`)?.focus();
}

function aboutDevices(path: string): boolean {
  return /^\/local\/domain\/\d+(\/(device|backend|console|name)(\/|$)|$)/.test(path);
}
