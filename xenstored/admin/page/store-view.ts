/**
 * The store: a search, the tree, and beside it the node that is chosen. Knows which node the address names.
 */
import type { App } from './app.ts';
import { type Child, h } from './dom.ts';
import { NodePane } from './node-pane.ts';
import { SearchBox } from './search-box.ts';
import type { View } from './shell.ts';
import { TreeGrid } from './treegrid.ts';
import { isPath } from './words.ts';

export class StoreView implements View {
  readonly title = 'Store';
  readonly #app: App;
  readonly #tree: TreeGrid;
  readonly #pane: NodePane;
  readonly #search: SearchBox;
  /** Named by the address, and not yet found. */
  #sought: string | undefined;

  constructor(app: App) {
    this.#app = app;
    this.#pane = new NodePane(app, { jump: (path) => this.#jump(path), back: () => this.#tree.focus() });
    this.#tree = new TreeGrid(app, {
      chosen: (path, how) => {
        history.replaceState(undefined, '', `#/store${path}`);
        this.#pane.show(path);
        if (how === 'entered') this.#pane.focus();
      },
    });
    this.#search = new SearchBox(app, { jump: (path) => this.#jump(path) });
    app.watch((changes) => {
      if (changes === undefined) void this.#reveal();
      this.#pane.changed(changes);
    });
  }

  arrived(rest: string): void {
    const path = rest.replace(/\/+$/, '');
    if (!isPath(path)) {
      if (path !== '') this.#app.tell(`there is no ${path}`);
      this.#pane.show(this.#tree.active);
      return;
    }
    this.#sought = path;
    void this.#reveal();
  }

  left(): void {}

  render(): Child {
    return h(
      'div',
      { class: 'store' },
      h(
        'section',
        { class: 'side', 'aria-label': 'Tree' },
        this.#search.render(),
        this.#waiting(),
        this.#tree.render(),
      ),
      this.#pane.render(),
    );
  }

  #waiting(): Child {
    return this.#app.model.size === 0 && h('p', { class: 'waiting faint' }, 'Loading…');
  }

  #jump(path: string): void {
    this.#sought = path;
    history.replaceState(undefined, '', `#/store${path}`);
    void this.#reveal();
  }

  async #reveal(): Promise<void> {
    const path = this.#sought;
    if (path === undefined || this.#app.liveState.how !== 'live') return;
    this.#sought = undefined;
    this.#pane.show(path);
    const found = await this.#app.loader.reveal(path).catch(() => false);
    if (found) this.#tree.show(path);
    else this.#app.tell(`there is no ${path}`);
  }
}
