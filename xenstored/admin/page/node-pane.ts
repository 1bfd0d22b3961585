/**
 * One node: its value as text and bytes, who may do what with it, its ETag; and, for who may write, the forms that change it. Follows the
 * node as it changes. Knows no tree.
 */
import type { App } from './app.ts';
import { type Child, h, type VNode } from './dom.ts';
import { Editor } from './editor.ts';
import type { Change, StoreNode } from './types.ts';
import { fromBase64, hexDump } from './value.ts';
import {
  ago,
  baseName,
  childPath,
  counted,
  parentPath,
  permissionLetters,
  permissionWords,
} from './words.ts';

export interface PaneOptions {
  jump(path: string): void;
  /** Escape: to where one came from. */
  back(): void;
}

const ASK_MS = 80;
const CHILDREN_SHOWN = 60;

export class NodePane {
  readonly #app: App;
  readonly #options: PaneOptions;
  readonly #editor: Editor;
  #path = '/';
  #node: StoreNode | undefined;
  #gone = false;
  #hex = false;
  #unmasked = false;
  #timer = 0;
  #changedBy: number | undefined;
  #changedAt: number | undefined;
  #asked = new AbortController();

  constructor(app: App, options: PaneOptions) {
    this.#app = app;
    this.#options = options;
    this.#editor = new Editor(app, {
      saved: (path) => (path === this.#path ? void this.#ask() : options.jump(path)),
      removed: () => options.jump(parentPath(this.#path)),
    });
  }

  show(path: string): void {
    if (path !== this.#path) {
      this.#editor.close();
      this.#unmasked = false;
      this.#gone = false;
      this.#changedAt = undefined;
    }
    this.#path = path;
    this.#node = this.#app.model.get(path)?.node;
    clearTimeout(this.#timer);
    // Whoever walks through the tree does not want every node on the way.
    this.#timer = setTimeout(() => void this.#ask(), ASK_MS);
    this.#app.refresh();
  }

  focus(): void {
    document.querySelector<HTMLElement>('#node-title')?.focus();
  }

  changed(changes: readonly Change[] | undefined): void {
    if (changes === undefined) {
      void this.#ask();
      return;
    }
    for (const { path, node, by } of changes) {
      const above = node === null && this.#path.startsWith(`${path}/`);
      if (path !== this.#path && !above) continue;
      this.#changedAt = performance.now();
      this.#changedBy = by;
      this.#gone = node === null;
      if (node === undefined || this.#unmasked) void this.#ask();
      else if (node !== null) this.#node = node;
    }
  }

  async #ask(): Promise<void> {
    if (this.#app.liveState.how !== 'live') return;
    this.#asked.abort();
    this.#asked = new AbortController();
    const path = this.#path;
    const { model } = this.#app;
    const { version } = model;
    try {
      const query = { path, secrets: this.#unmasked ? 'show' : undefined };
      const node = await this.#app.api.get<StoreNode>('/v1/node', query, this.#asked.signal);
      if (model.isOvertaken(path, version)) return await this.#ask();
      this.#node = node;
      this.#gone = false;
    } catch (error) {
      const { name, status } = error as { name: string; status?: number };
      if (name === 'AbortError' || status === 0) return;
      if (status === 404) this.#gone = true;
      else this.#app.tell(error as Error);
    }
    this.#app.refresh();
  }

  render(): VNode {
    return h(
      'section',
      {
        class: 'pane',
        'aria-label': 'Node',
        on: {
          keydown: (event) => {
            if (event.key === 'Escape' && !(event.target as Element).matches('input, textarea, select'))
              this.#options.back();
          },
        },
      },
      h('p', { class: 'crumbs' }, this.#crumbs()),
      h('h1', { id: 'node-title', tabindex: -1 }, baseName(this.#path)),
      this.#gone
        ? h('p', { class: 'bad' }, 'This node is no more.')
        : this.#node && this.#node.path === this.#path
          ? this.#body(this.#node)
          : h('p', { class: 'faint' }, 'Loading…'),
    );
  }

  #crumbs(): Child[] {
    const way: Child[] = [];
    for (let at = parentPath(this.#path); this.#path !== '/'; at = parentPath(at)) {
      way.unshift(this.#link(at, at === '/' ? '/' : baseName(at)), at === '/' ? ' ' : ' / ');
      if (at === '/') break;
    }
    return way;
  }

  #link(path: string, text: string): VNode {
    const click = (event: Event): void => {
      event.preventDefault();
      this.#options.jump(path);
    };
    return h('a', { href: `#/store${path}`, on: { click } }, text);
  }

  #body(node: StoreNode): Child {
    const { children, permissions, value } = node;
    const since = this.#changedAt === undefined ? undefined : performance.now() - this.#changedAt;
    const { names } = this.#app;
    const author = this.#changedBy === undefined ? 'unknown' : names.words(this.#changedBy);
    return [
      since !== undefined && h('p', { class: 'faint' }, `changed ${ago(since)} by ${author}`),
      this.#value(node),
      this.#editor.render(node),
      h('h2', {}, 'Permissions'),
      h(
        'ul',
        { class: 'plain' },
        permissionWords(permissions, (domid) => names.words(domid)).map((words) => h('li', {}, words)),
      ),
      h(
        'dl',
        { class: 'facts' },
        h('dt', {}, 'Path'),
        h('dd', {}, h('code', {}, node.path), this.#copy(node.path, 'path')),
        h('dt', {}, 'Letters'),
        h('dd', {}, h('code', {}, permissionLetters(permissions))),
        node.etag !== undefined && [
          h('dt', {}, 'ETag'),
          h('dd', {}, h('code', {}, node.etag), this.#copy(node.etag, 'ETag')),
        ],
        h('dt', {}, 'Size'),
        h('dd', {}, value.masked ? 'not told' : counted(fromBase64(value.base64).length, 'byte')),
      ),
      children.length > 0 && this.#children(node),
    ];
  }

  #value({ value }: StoreNode): Child {
    if (value.masked)
      return h(
        'div',
        { class: 'value-box' },
        h('p', { class: 'masked' }, '•••••• ', h('span', {}, 'not shown: it may be a secret')),
        this.#app.mayWrite &&
          h('button', { class: 'quiet', on: { click: () => this.#unmask() } }, 'Show it (this is recorded)'),
      );
    const content = this.#hex ? hexDump(fromBase64(value.base64)) : value.text;
    const form = (hex: boolean, text: string): VNode =>
      h(
        'button',
        {
          class: 'toggle',
          'aria-pressed': this.#hex === hex ? 'true' : 'false',
          on: {
            click: () => {
              this.#hex = hex;
              this.#app.refresh();
            },
          },
        },
        text,
      );
    return h(
      'div',
      { class: 'value-box' },
      h(
        'div',
        { class: 'bar' },
        h('h2', {}, 'Value'),
        h('span', { role: 'group', 'aria-label': 'Shown as' }, form(false, 'text'), form(true, 'hex')),
        h('span', { class: 'grow' }),
        value.text !== '' && this.#copy(value.text, 'value'),
      ),
      h(
        'pre',
        { tabindex: 0, 'aria-label': 'Value' },
        content === '' ? h('span', { class: 'faint' }, 'empty') : content,
      ),
    );
  }

  #unmask(): void {
    this.#unmasked = true;
    void this.#ask();
  }

  #copy(text: string, what: string): VNode {
    const click = (): void =>
      void this.#app.attempt(async () => {
        await navigator.clipboard.writeText(text);
        this.#app.tell(`${what} copied`);
      });
    return h('button', { class: 'quiet small', 'aria-label': `Copy ${what}`, on: { click } }, 'copy');
  }

  #children({ path, children }: StoreNode): Child {
    const everything = (): void =>
      void this.#app.attempt(async () => {
        await this.#app.loader.everything(path);
      });
    return [
      h(
        'div',
        { class: 'bar' },
        h('h2', {}, `Children (${children.length})`),
        h('span', { class: 'grow' }),
        h('button', { class: 'quiet small', on: { click: everything } }, 'open all below'),
      ),
      h(
        'ul',
        { class: 'chips' },
        children
          .slice(0, CHILDREN_SHOWN)
          .map((name) => h('li', { key: name }, this.#link(childPath(path, name), name))),
        children.length > CHILDREN_SHOWN &&
          h('li', { class: 'faint' }, `and ${children.length - CHILDREN_SHOWN} more, in the tree`),
      ),
    ];
  }
}
