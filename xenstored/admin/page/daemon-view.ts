/**
 * The daemon from inside: quotas used against their limits, rings, connections, watches, open transactions, what it refused lately. Each part
 * says plainly where a daemon does not tell. Asks again every two seconds while somebody looks.
 */
import type { ApiError } from './api.ts';
import type { App } from './app.ts';
import { fullness, quotaBars } from './bars.ts';
import { type Child, h } from './dom.ts';
import type { View } from './shell.ts';
import type { Row } from './types.ts';
import { ago, duration } from './words.ts';

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
const BARS_SHOWN = 3;

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
      await Promise.all(parts.map(({ name }) => this.#part(name)));
      this.#app.refresh();
    }
    if (this.#here) this.#timer = setTimeout(() => void this.#ask(), AGAIN_MS);
  }

  async #part(name: string): Promise<void> {
    const has = this.#about?.has;
    if (Array.isArray(has) && !has.includes(name)) {
      this.#told.set(name, 'not offered');
      return;
    }
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
        this.#counters(),
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

  #counters(): Child {
    const counters = this.#about?.statistics;
    if (typeof counters !== 'object' || counters === null) return undefined;
    return h(
      'section',
      { class: 'card', key: 'counters', 'aria-labelledby': 'part-counters' },
      h('h2', { id: 'part-counters' }, 'Since its start'),
      h(
        'dl',
        { class: 'counters' },
        Object.entries(counters).map(([name, count]) =>
          h(
            'div',
            { key: name },
            h('dt', {}, name === 'uptime_ms' ? 'up for' : name.replaceAll('_', ' ')),
            h('dd', {}, name === 'uptime_ms' ? duration(Number(count)) : String(count)),
          ),
        ),
      ),
    );
  }

  #body({ name, empty }: Part): Child {
    const told = this.#told.get(name) ?? 'loading';
    if (told === 'loading') return h('p', { class: 'faint' }, 'Loading…');
    if (told === 'away') return h('p', { class: 'faint' }, 'The daemon does not answer.');
    if (told === 'not offered') return h('p', { class: 'faint' }, 'This daemon does not tell.');
    if (told.length === 0) return h('p', { class: 'faint' }, empty);
    return name === 'quotas' ? this.#quotas(told) : this.#table(name, told);
  }

  /** The domains that are nearest to a limit first, each with its fullest quotas. */
  #quotas(rows: readonly Row[]): Child {
    const ordered = [...rows].sort((a, b) => fullness(b) - fullness(a));
    const shown = ordered.flatMap((row) => {
      const bars = quotaBars(row, BARS_SHOWN);
      return bars.length === 0
        ? []
        : [h('div', { class: 'quota', key: `q${row.domid}` }, h('h3', {}, this.#who(row) ?? ''), bars)];
    });
    return shown.length === 0 ? h('p', { class: 'faint' }, 'Nobody uses anything that has a limit.') : shown;
  }

  #table(name: string, rows: readonly Row[]): Child {
    const fields = [...new Set(rows.slice(0, ROWS_SHOWN).flatMap((row) => Object.keys(row)))];
    const columns = fields.filter((field) => field !== 'domid' && field !== 'socket').sort(later);
    const named = fields.length > columns.length;
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
              named && h('th', { scope: 'col' }, 'who'),
              columns.map((column) => h('th', { scope: 'col' }, heading(column))),
            ),
          ),
          h(
            'tbody',
            {},
            shown.slice(0, ROWS_SHOWN).map((row) =>
              h(
                'tr',
                {},
                named && h('td', { class: 'who' }, this.#who(row) ?? ''),
                columns.map((column) =>
                  h(
                    'td',
                    { class: typeof row[column] === 'number' ? 'figure' : undefined },
                    cell(column, row[column]),
                  ),
                ),
              ),
            ),
          ),
        ),
      ),
      rows.length > 10 &&
        h(
          'button',
          { class: 'quiet small more', on: { click: () => this.#toggle(name) } },
          this.#whole.has(name) ? 'fewer' : `all ${rows.length}`,
        ),
    ];
  }

  #who({ domid, socket }: Row): string | undefined {
    if (typeof domid === 'number') return this.#app.names.words(domid);
    return typeof socket === 'number' ? `socket ${socket}` : undefined;
  }

  #toggle(name: string): void {
    if (!this.#whole.delete(name)) this.#whole.add(name);
    this.#app.refresh();
  }
}

/** What people ask first stands first; a ring's bare indices stand last. */
function later(a: string, b: string): number {
  const weight = (field: string): number =>
    /waiting/.test(field) ? 0 : /_(cons|prod)$|^(connection|error|port)$/.test(field) ? 2 : 1;
  return weight(a) - weight(b);
}

function heading(field: string): string {
  return field === 'age_ms' ? 'when' : field.replaceAll('_', ' ');
}

function cell(field: string, value: unknown): string {
  if (value === undefined || value === null) return '';
  if (field === 'age_ms' && typeof value === 'number') return ago(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
