/**
 * The store as a tree of any size (WAI-ARIA's treegrid pattern): of ten thousand rows only those in view are elements. One tab stop; arrows,
 * Home, End, pages, type-ahead and `*` inside. Knows a model's rows, and tells which one is chosen.
 */
import type { App } from './app.ts';
import { type Child, h, type VNode } from './dom.ts';
import type { Entry, Row } from './model.ts';
import { baseName, childPath, parentPath, shownValue } from './words.ts';

const ROW_PX = 26;
/** Rows beyond what is in view, so that a scroll shows no gap before the next frame. */
const SPARE = 8;
const FLASH_MS = 1_600;
const TYPING_MS = 700;

export interface TreeOptions {
  /** By keyboard or pointer; `why`: Enter asks to go on to it. */
  chosen(path: string, how: 'moved' | 'entered'): void;
}

export class TreeGrid {
  readonly #app: App;
  readonly #options: TreeOptions;
  #active = '/';
  #viewport: HTMLElement | undefined;
  #top = 0;
  #height = 600;
  #typed = '';
  #typedAt = 0;
  /** Scroll to the active row once it is there. */
  #seek = false;

  constructor(app: App, options: TreeOptions) {
    this.#app = app;
    this.#options = options;
  }

  get active(): string {
    return this.#active;
  }

  /** Makes a row the active one and brings it into view; it may come later. */
  show(path: string): void {
    this.#active = path;
    this.#seek = true;
    this.#app.refresh();
  }

  focus(): void {
    this.#viewport?.focus();
  }

  render(): VNode {
    const rows = this.#app.model.rows();
    const active = rows.findIndex((row) => row.path === this.#active);
    if (this.#seek && active >= 0 && this.#viewport) this.#scrollTo(active, rows.length);
    const first = Math.max(0, Math.floor(this.#top / ROW_PX) - SPARE);
    const last = Math.min(rows.length, Math.ceil((this.#top + this.#height) / ROW_PX) + SPARE);
    const shown = rows.slice(first, last).map((row, index) => this.#row(row, first + index));
    // Assistive technology follows the active row's id even when the pointer has scrolled away from it.
    if (active >= 0 && (active < first || active >= last)) shown.push(this.#row(rows[active]!, active));
    this.#app.loader.look(rows.slice(first, last).map(({ path }) => path));
    return h(
      'div',
      {
        class: 'tree',
        role: 'treegrid',
        tabindex: 0,
        'aria-label': 'Nodes of the store',
        'aria-rowcount': rows.length,
        'aria-colcount': 2,
        'aria-activedescendant': active >= 0 && rowId(this.#active),
        'aria-busy': rows.length === 0 || undefined,
        ref: (element) => this.#mounted(element),
        on: {
          scroll: (event) => this.#scrolled(event.currentTarget as HTMLElement),
          keydown: (event) => this.#key(event),
        },
      },
      h('div', { class: 'rows', role: 'rowgroup', style: { height: `${rows.length * ROW_PX}px` } }, shown),
    );
  }

  #mounted(element: HTMLElement): void {
    this.#viewport = element;
    this.#top = 0;
    this.#seek = true;
    new ResizeObserver(() => {
      this.#height = element.clientHeight;
      this.#app.refresh();
    }).observe(element);
  }

  #scrolled(element: HTMLElement): void {
    this.#top = element.scrollTop;
    this.#app.refresh();
  }

  #scrollTo(index: number, count: number): void {
    this.#seek = false;
    const top = index * ROW_PX;
    if (top >= this.#top && top + ROW_PX <= this.#top + this.#height) return;
    const element = this.#viewport!;
    // The rows' box must be as high as it will be, or the browser stops short.
    (element.firstElementChild as HTMLElement | null)?.style.setProperty('height', `${count * ROW_PX}px`);
    element.scrollTop =
      top < this.#top && top + this.#height > this.#top ? top : top - Math.max(0, this.#height - ROW_PX) / 2;
    this.#top = element.scrollTop;
  }

  #row({ path, level, position, siblings }: Row, index: number): VNode {
    const { model } = this.#app;
    const entry = model.get(path);
    const parent = (entry?.children.length ?? 0) > 0;
    const fresh = entry !== undefined && performance.now() - entry.changedAt < FLASH_MS;
    return h(
      'div',
      {
        key: path,
        id: rowId(path),
        role: 'row',
        class: `row${path === this.#active ? ' active' : ''}${fresh ? ` flash${entry.changes % 2}` : ''}`,
        'aria-level': level,
        'aria-posinset': position,
        'aria-setsize': siblings,
        'aria-rowindex': index + 1,
        'aria-selected': path === this.#active ? 'true' : 'false',
        'aria-expanded': parent && (entry!.open ? 'true' : 'false'),
        style: { transform: `translateY(${index * ROW_PX}px)` },
        on: {
          click: () => this.#choose(path, 'moved'),
          dblclick: () => this.#toggle(path),
        },
      },
      h(
        'span',
        { role: 'gridcell', class: 'name', style: { 'padding-left': `${(level - 1) * 16 + 4}px` } },
        h(
          'span',
          {
            class: `twist${parent ? (entry!.open ? ' open' : ' shut') : ''}`,
            'aria-hidden': 'true',
            on: { click: () => this.#toggle(path) },
          },
          parent && '▸',
        ),
        baseName(path),
        parent && level > 1 && h('span', { class: 'count', 'aria-hidden': 'true' }, entry!.children.length),
      ),
      h('span', { role: 'gridcell', class: 'value' }, valueCell(entry, this.#nameOf(path))),
    );
  }

  /** Of a domain's home: what nobody wants to open it for. */
  #nameOf(path: string): string | undefined {
    const domid = /^\/local\/domain\/(\d+)$/.exec(path)?.[1];
    return domid === undefined ? undefined : this.#app.names.of(Number(domid));
  }

  #choose(path: string, how: 'moved' | 'entered'): void {
    this.#active = path;
    this.#seek = true;
    this.#options.chosen(path, how);
    this.#app.refresh();
  }

  #toggle(path: string): void {
    const entry = this.#app.model.get(path);
    if (!entry) return;
    if (entry.open) this.#shut(path);
    else this.#open(path);
  }

  #open(path: string): void {
    const { model, loader } = this.#app;
    model.open(path);
    if (!model.get(path)?.loaded) void this.#app.attempt(() => loader.children(path));
    this.#app.refresh();
  }

  #shut(path: string): void {
    this.#app.model.close(path);
    if (this.#active.startsWith(`${path === '/' ? '' : path}/`) && path !== this.#active)
      this.#choose(path, 'moved');
    this.#app.refresh();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = this.#app.model.rows();
    const at = Math.max(
      0,
      rows.findIndex(({ path }) => path === this.#active),
    );
    const page = Math.max(1, Math.floor(this.#height / ROW_PX) - 1);
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: at + page,
      PageUp: at - page,
    };
    const to = moves[event.key];
    if (to !== undefined) {
      const row = rows[Math.min(Math.max(to, 0), rows.length - 1)];
      if (row) this.#choose(row.path, 'moved');
    } else if (event.key === 'ArrowRight') this.#inward();
    else if (event.key === 'ArrowLeft') this.#outward();
    else if (event.key === 'Enter') this.#choose(this.#active, 'entered');
    else if (event.key === '*') this.#openSiblings(rows);
    else if (event.key.length === 1 && event.key !== '/' && event.key !== ' ')
      this.#type(event.key, rows, at);
    else return;
    if (event.key.length > 1) this.#typed = '';
    event.preventDefault();
  }

  #inward(): void {
    const entry = this.#app.model.get(this.#active);
    if (!entry || entry.children.length === 0) return;
    if (entry.open && entry.loaded) this.#choose(childPath(entry.path, entry.children[0]!), 'moved');
    else this.#open(entry.path);
  }

  #outward(): void {
    const entry = this.#app.model.get(this.#active);
    if (entry?.open && entry.children.length > 0) this.#shut(entry.path);
    else if (this.#active !== '/') this.#choose(parentPath(this.#active), 'moved');
  }

  #openSiblings(rows: readonly Row[]): void {
    const parent = parentPath(this.#active);
    for (const { path } of rows)
      if (path !== '/' && parentPath(path) === parent && this.#app.model.get(path)?.children.length)
        this.#open(path);
  }

  /** To the next row whose name begins with what was typed within a moment. */
  #type(char: string, rows: readonly Row[], at: number): void {
    const now = performance.now();
    this.#typed = now - this.#typedAt < TYPING_MS ? this.#typed + char : char;
    this.#typedAt = now;
    const begin = this.#typed.toLowerCase();
    // One letter goes on to the next; more of them may stay where they are.
    const start = this.#typed.length === 1 ? at + 1 : at;
    for (let step = 0; step < rows.length; step++) {
      const { path } = rows[(start + step) % rows.length]!;
      if (baseName(path).toLowerCase().startsWith(begin)) {
        this.#choose(path, 'moved');
        return;
      }
    }
  }
}

function valueCell(entry: Entry | undefined, name: string | undefined): Child {
  if (!entry?.node) return h('span', { class: 'faint' }, '…');
  const { value } = entry.node;
  if (value.masked) return h('span', { class: 'masked', title: 'not shown: it may be a secret' }, '••••••');
  return value.text === '' && name !== undefined ? h('em', { class: 'faint' }, name) : shownValue(value);
}

/** An id without characters that an id may not have: names have letters, digits, - _ @ only, and paths slashes. */
function rowId(path: string): string {
  return `row:${path}`;
}
