/**
 * The frame of the page: name, tabs, how the connection is, who one is, dark or light, the questions for a token, and what just happened.
 * Knows the views by name and that each draws itself.
 */
import type { App } from './app.ts';
import { type Child, h, type VNode } from './dom.ts';
import type { LiveState } from './live.ts';
import { applyTheme, nextTheme, theme } from './theme.ts';

export interface View {
  readonly title: string;
  render(): Child;
  /** The address names this view, and this within it: `/local/domain/1`. */
  arrived(rest: string): void;
  /** The address names another. */
  left(): void;
}

export type ViewName = 'store' | 'domains' | 'daemon';

const NOTICE_MS = 8_000;

export class Shell {
  readonly #app: App;
  readonly #views: Readonly<Record<ViewName, View>>;
  #current: ViewName = 'store';
  #asking: 'write' | undefined;
  #typed = '';
  #refused = '';
  #noticed: unknown;

  constructor(app: App, views: Readonly<Record<ViewName, View>>) {
    this.#app = app;
    this.#views = views;
    applyTheme();
  }

  /** Reads the address: `#/domains/3/vbd/51712`. */
  arrived(): void {
    const [, name = '', rest = ''] = /^#\/([a-z]*)(.*)$/.exec(location.hash) ?? [];
    const next = name in this.#views ? (name as ViewName) : 'store';
    if (next !== this.#current) this.#views[this.#current].left();
    this.#current = next;
    this.#views[next].arrived(decode(rest));
    this.#app.refresh();
  }

  render(): VNode[] {
    const view = this.#views[this.#current];
    const title = `${view.title} · xenstore`;
    if (document.title !== title) document.title = title;
    const away = this.#app.liveState.how === 'unauthorised';
    const banner = this.#banner();
    return [
      h(
        'a',
        { class: 'skip', href: '#main', on: { click: (event) => this.#skip(event) } },
        'Skip to content',
      ),
      this.#header(),
      ...(banner ? [banner] : []),
      h(
        'main',
        { id: 'main', tabindex: -1, key: `main-${this.#current}-${away}` },
        away ? this.#door() : view.render(),
      ),
      this.#notice(),
      ...(this.#asking ? [this.#dialog()] : []),
    ];
  }

  #skip(event: Event): void {
    event.preventDefault();
    document.querySelector<HTMLElement>('main [tabindex="0"], main input, main a, main button')?.focus();
  }

  #header(): VNode {
    const tabs = Object.entries(this.#views).map(([name, { title }]) =>
      h('a', { href: `#/${name}`, 'aria-current': name === this.#current && 'page' }, title),
    );
    return h(
      'header',
      { key: 'header' },
      h(
        'span',
        { class: 'brand' },
        h('img', { src: icon, alt: '', width: 20, height: 20 }),
        h('span', {}, 'xenstore'),
      ),
      h('nav', { 'aria-label': 'Views' }, tabs),
      this.#status(),
      h('span', { class: 'grow' }),
      this.#role(),
      this.#themeSwitch(),
    );
  }

  #status(): VNode {
    const state = this.#state();
    const words = {
      connecting: 'Connecting',
      live: 'Live',
      unauthorised: 'No access',
      reconnecting: 'Reconnecting',
      away: 'Daemon away',
    }[state.how];
    return h(
      'span',
      { class: `status ${state.how}`, role: 'status' },
      h('span', { class: 'dot', 'aria-hidden': 'true' }),
      words,
    );
  }

  /** What is shown is from before: who looks at it is told, and why. */
  #banner(): VNode | undefined {
    const state = this.#state();
    if (!('why' in state)) return undefined;
    return h(
      'p',
      { class: 'banner', key: 'banner' },
      `${state.why[0]!.toUpperCase()}${state.why.slice(1)}: what is shown is as it was. `,
      state !== storeAway &&
        h('button', { class: 'link', on: { click: () => this.#app.live.hurry() } }, 'try now'),
    );
  }

  #state(): LiveState {
    const { liveState, away } = this.#app;
    return away && liveState.how === 'live' ? storeAway : liveState;
  }

  #role(): Child {
    const { session, mayWrite } = this.#app;
    if (!session) return undefined;
    if (session.writable === false) return h('span', { class: 'faint' }, 'Read-only');
    return mayWrite
      ? h(
          'span',
          { class: 'role write' },
          'May write',
          h('button', { class: 'link', on: { click: () => void this.#app.signOut() } }, 'stop'),
        )
      : h(
          'button',
          { class: 'quiet', on: { click: () => this.#ask() } },
          'Read-only',
          h('span', { class: 'hint' }, ' · edit…'),
        );
  }

  #themeSwitch(): VNode {
    const names = { auto: 'as the system', light: 'light', dark: 'dark' };
    const signs = { auto: '◐', light: '☀', dark: '☾' };
    const now = theme();
    return h(
      'button',
      {
        class: 'quiet',
        'aria-label': `Colours: ${names[now]}; change`,
        title: `Colours: ${names[now]}`,
        on: {
          click: () => {
            nextTheme();
            this.#app.refresh();
          },
        },
      },
      signs[now],
    );
  }

  /** Instead of a view, for who has no token. */
  #door(): VNode {
    return h(
      'form',
      { class: 'door', on: { submit: (event) => this.#submit(event, 'read') } },
      h('h1', {}, 'Token'),
      h(
        'p',
        {},
        'This service answers those who have its token. It is in the address that was printed at the start, and ' +
          'in its file: admin.token in the run directory, or what --token-file names.',
      ),
      this.#field('read'),
      h('button', { class: 'primary' }, 'Open'),
    );
  }

  #field(kind: 'read' | 'write'): Child {
    return [
      h(
        'label',
        {},
        kind === 'read' ? 'Token' : 'Write token',
        h('input', {
          type: 'password',
          name: 'token',
          autocomplete: 'off',
          required: true,
          spellcheck: 'false',
          value: this.#typed,
          'aria-describedby': this.#refused === '' ? undefined : 'refused',
          ref: (element) => queueMicrotask(() => element.focus()),
          on: { input: (event) => this.#type(event) },
        }),
      ),
      this.#refused !== '' && h('p', { class: 'bad', id: 'refused', role: 'alert' }, this.#refused),
    ];
  }

  #type(event: Event): void {
    this.#typed = (event.target as HTMLInputElement).value;
  }

  #ask(): void {
    this.#asking = 'write';
    this.#typed = '';
    this.#refused = '';
    this.#app.refresh();
  }

  #dialog(): VNode {
    const close = (): void => {
      this.#asking = undefined;
      this.#app.refresh();
    };
    return h(
      'dialog',
      {
        key: 'ask',
        'aria-labelledby': 'ask-title',
        ref: (element) => queueMicrotask(() => (element as HTMLDialogElement).showModal()),
        on: { close },
      },
      h(
        'form',
        { on: { submit: (event) => this.#submit(event, 'write') } },
        h('h2', { id: 'ask-title' }, 'Edit the store'),
        h(
          'p',
          {},
          'The write token is in the file that --write-token-file names: of a host, admin-write.token in its ' +
            'run directory. It is kept in this tab until it is closed.',
        ),
        this.#field('write'),
        h(
          'p',
          { class: 'buttons' },
          h('button', { class: 'primary' }, 'Allow editing'),
          h('button', { type: 'button', on: { click: close } }, 'Cancel'),
        ),
      ),
    );
  }

  async #submit(event: Event, kind: 'read' | 'write'): Promise<void> {
    event.preventDefault();
    this.#refused = '';
    try {
      await this.#app.signIn(kind, this.#typed.trim());
      if (kind === 'write' && !this.#app.mayWrite) {
        this.#app.api.setToken('write', undefined);
        this.#refused = 'this token only reads';
      } else {
        this.#asking = undefined;
        this.#typed = '';
      }
    } catch (error) {
      this.#refused =
        (error as { status?: number }).status === 401
          ? 'the service does not know this token'
          : (error as Error).message;
    }
    this.#app.refresh();
  }

  #notice(): VNode {
    const { notice } = this.#app;
    if (notice !== this.#noticed) {
      this.#noticed = notice;
      setTimeout(() => {
        if (this.#app.notice === notice) this.#app.notice = undefined;
        this.#app.refresh();
      }, NOTICE_MS);
    }
    return h(
      'div',
      { class: 'notices', key: 'notices', 'aria-live': 'polite' },
      notice && h('p', { class: notice.bad ? 'notice bad' : 'notice' }, notice.text),
    );
  }
}

const storeAway: LiveState = { how: 'away', why: 'the service cannot reach its store' };

const icon = new URL('./icon.svg', import.meta.url).pathname;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
