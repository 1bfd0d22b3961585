/**
 * The daemon from inside: quotas used against their limits, rings, connections, watches, open transactions, what it refused lately. Each part
 * says plainly where a daemon does not tell. Asks again every two seconds while somebody looks.
 */
import type { ApiError } from './api.ts';
import type { App } from './app.ts';
import { type Child, h, type VNode } from './dom.ts';
import type { View } from './shell.ts';
import type { Row } from './types.ts';

interface Part {
  readonly name: string;
  readonly title: string;
  readonly empty: string;
}

const parts: readonly Part[] = [
  { name: 'quotas', title: 'Quotas', empty: 'No domain has a quota.' },
  { name: 'rings', title: 'Rings', empty: 'No domain has a store ring.' },
  { name: 'connections', title: 'Connections', empty: 'Nobody is connected.' },
  { name: 'transactions', title: 'Open transactions', empty: 'None is open.' },
  { name: 'watches', title: 'Watches', empty: 'Nobody watches.' },
  { name: 'refusals', title: 'Last refusals', empty: 'Nothing was refused.' },
];

const AGAIN_MS = 2_000;
const ROWS_SHOWN = 100;

type Told = readonly Row[] | 'loading' | 'not offered' | 'away';

export class DaemonView implements View {
  readonly title = 'Daemon';
  readonly #app: App;
  readonly #told = new Map<string, Told>();
  readonly #whole = new Set<string>();
  #about: Row | undefined;
  #timer = 0;
  #here = false;

  constructor(app: App) {
    this.#app = app;
  }

  arrived(): void {
    this.#here = true;
    void this.#ask();
  }

  left(): void {
    this.#here = false;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#app.liveState.how === 'live' && !document.hidden) {
      await this.#app.api.get<Row>('/v1/daemon').then(
        (about) => {
          this.#about = about;
        },
        () => {},
      );
      for (const { name } of parts) await this.#part(name);
      this.#app.refresh();
    }
    if (this.#here) this.#timer = setTimeout(() => void this.#ask(), AGAIN_MS);
  }

  async #part(name: string): Promise<void> {
    try {
      const reply = await this.#app.api.get<Readonly<Record<string, unknown>>>(`/v1/daemon/${name}`);
      const rows = reply[name];
      this.#told.set(name, Array.isArray(rows) ? (rows as Row[]) : []);
    } catch (error) {
      const { status } = error as ApiError;
      this.#told.set(name, status === 0 || status === 503 ? 'away' : 'not offered');
    }
  }

  render(): Child {
    return h(
      'div',
      { class: 'daemon' },
      h('div', { class: 'bar' }, h('h1', {}, 'Daemon'), this.#summary()),
      h(
        'div',
        { class: 'cards' },
        parts.map((part) =>
          h(
            'section',
            { class: `card ${part.name}`, key: part.name, 'aria-labelledby': `part-${part.name}` },
            h('h2', { id: `part-${part.name}` }, part.title),
            this.#body(part),
          ),
        ),
      ),
    );
  }

  #summary(): Child {
    const about = this.#about;
    if (!about) return undefined;
    const words = [about.daemon ?? about.name, about.version].filter((word) => typeof word === 'string');
    return h('span', { class: 'faint' }, words.join(' '));
  }

  #body({ name, empty }: Part): Child {
    const told = this.#told.get(name) ?? 'loading';
    if (told === 'loading') return h('p', { class: 'faint' }, 'Loading…');
    if (told === 'away') return h('p', { class: 'faint' }, 'The daemon does not answer.');
    if (told === 'not offered') return h('p', { class: 'faint' }, 'This daemon does not tell.');
    if (told.length === 0) return h('p', { class: 'faint' }, empty);
    return name === 'quotas' ? this.#quotas(told) : this.#table(name, told);
  }

  /** One bar for each domain and quota that has a limit. */
  #quotas(rows: readonly Row[]): Child {
    return rows.map((row, index) => {
      const quotas = Object.entries(row).filter(([, value]) => isQuota(value)) as [string, Quota][];
      return h(
        'div',
        { class: 'quota', key: `q${row.domid ?? index}` },
        h('h3', {}, `domain ${row.domid ?? '?'}${typeof row.name === 'string' ? ` ${row.name}` : ''}`),
        quotas.map(([what, { used, limit, max }]) => this.#bar(what, used, limit, max)),
      );
    });
  }

  #bar(what: string, used: number, limit: number | null, max: number | undefined): VNode {
    const share = limit === null || limit === 0 ? 0 : used / limit;
    const level = share >= 0.95 ? 'full' : share >= 0.75 ? 'high' : 'low';
    return h(
      'div',
      { class: 'bar-line', key: what },
      h('span', { class: 'bar-name' }, what),
      limit === null
        ? h('span', { class: 'bar-box' })
        : h(
            'span',
            {
              class: 'bar-box',
              role: 'meter',
              'aria-label': what,
              'aria-valuemin': 0,
              'aria-valuemax': limit,
              'aria-valuenow': used,
            },
            h('span', { class: `bar-fill ${level}`, style: { width: `${Math.min(100, share * 100)}%` } }),
          ),
      h(
        'span',
        { class: 'bar-words' },
        `${used} of ${limit === null ? 'any' : limit}${max === undefined ? '' : ` (most ${max})`}`,
      ),
    );
  }

  #table(name: string, rows: readonly Row[]): Child {
    const columns = [...new Set(rows.slice(0, ROWS_SHOWN).flatMap((row) => Object.keys(row)))];
    const shown = this.#whole.has(name) ? rows : rows.slice(0, 10);
    return [
      h(
        'div',
        { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': name },
        h(
          'table',
          {},
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              columns.map((column) => h('th', { scope: 'col' }, column.replaceAll('_', ' '))),
            ),
          ),
          h(
            'tbody',
            {},
            shown.slice(0, ROWS_SHOWN).map((row) =>
              h(
                'tr',
                {},
                columns.map((column) => h('td', {}, cell(row[column]))),
              ),
            ),
          ),
        ),
      ),
      rows.length > 10 &&
        h(
          'button',
          { class: 'quiet small', on: { click: () => this.#toggle(name) } },
          this.#whole.has(name) ? 'fewer' : `all ${rows.length}`,
        ),
    ];
  }

  #toggle(name: string): void {
    if (!this.#whole.delete(name)) this.#whole.add(name);
    this.#app.refresh();
  }
}

interface Quota {
  readonly used: number;
  /** null: none. */
  readonly limit: number | null;
  readonly max?: number;
}

function isQuota(value: unknown): value is Quota {
  return typeof value === 'object' && value !== null && 'used' in value && 'limit' in value;
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}
