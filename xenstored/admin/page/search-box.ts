/**
 * A search in all names and values, done by the service a moment after the last key; and its finds, to jump to. Knows no tree.
 */
import type { App } from './app.ts';
import { type Child, h, type VNode } from './dom.ts';
import type { Value } from './types.ts';
import { shownValue } from './words.ts';

interface Find {
  readonly path: string;
  readonly value?: Value;
}

interface Reply {
  readonly nodes: readonly Find[];
  readonly next?: string | null;
}

const WAIT_MS = 250;
const FINDS = 50;

export class SearchBox {
  readonly #app: App;
  readonly #jump: (path: string) => void;
  #text = '';
  #finds: Find[] | undefined;
  #next: string | undefined;
  #asked = new AbortController();
  #timer = 0;

  constructor(app: App, options: { readonly jump: (path: string) => void }) {
    this.#app = app;
    this.#jump = options.jump;
    addEventListener('keydown', (event) => {
      const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey) return;
      const field = document.querySelector<HTMLElement>('#search');
      if (!field) return;
      event.preventDefault();
      field.focus();
    });
  }

  render(): VNode {
    return h(
      'search',
      { class: 'search' },
      h('input', {
        type: 'search',
        id: 'search',
        placeholder: 'Search names and values',
        title: 'Press / to come here',
        'aria-label': 'Search names and values',
        autocomplete: 'off',
        spellcheck: 'false',
        value: this.#text,
        on: {
          input: (event) => this.#typed((event.target as HTMLInputElement).value),
          keydown: (event) => this.#key(event),
        },
      }),
      this.#finds && this.#list(this.#finds),
    );
  }

  #list(finds: readonly Find[]): VNode {
    const summary =
      finds.length === 0
        ? 'Nothing found'
        : `${finds.length}${this.#next === undefined ? '' : ' or more'} found`;
    return h(
      'div',
      { class: 'finds' },
      h('p', { role: 'status', class: 'faint' }, summary),
      h(
        'ul',
        {},
        finds.map(({ path, value }) =>
          h(
            'li',
            { key: path },
            h(
              'a',
              {
                href: `#/store${path}`,
                on: {
                  click: (event) => {
                    event.preventDefault();
                    this.#jump(path);
                  },
                },
              },
              marked(path, this.#text),
              value &&
                value.text !== '' &&
                h('span', { class: 'value' }, marked(shownValue(value), this.#text)),
            ),
          ),
        ),
      ),
      this.#next !== undefined &&
        h('button', { class: 'quiet', on: { click: () => void this.#ask(this.#next) } }, 'More'),
    );
  }

  #typed(text: string): void {
    this.#text = text;
    clearTimeout(this.#timer);
    this.#asked.abort();
    if (text.trim() === '') this.#finds = undefined;
    else this.#timer = setTimeout(() => void this.#ask(undefined), WAIT_MS);
    this.#app.refresh();
  }

  #key(event: KeyboardEvent): void {
    if (event.key === 'Escape' && this.#text !== '') {
      event.preventDefault();
      this.#typed('');
    } else if (event.key === 'ArrowDown' || event.key === 'Enter') {
      const first = document.querySelector<HTMLElement>('.finds a');
      if (!first) return;
      event.preventDefault();
      if (event.key === 'Enter') first.click();
      else first.focus();
    }
  }

  async #ask(after: string | undefined): Promise<void> {
    this.#asked = new AbortController();
    const query = { q: this.#text.trim(), in: 'any', limit: FINDS, after };
    await this.#app.attempt(async () => {
      const reply = await this.#app.api.get<Reply>('/v1/search', query, this.#asked.signal);
      this.#finds = [...(after === undefined ? [] : (this.#finds ?? [])), ...reply.nodes];
      this.#next = reply.next ?? undefined;
    });
  }
}

/** The sought text within a text, marked. */
function marked(text: string, sought: string): Child[] {
  const at = text.toLowerCase().indexOf(sought.trim().toLowerCase());
  if (at < 0) return [text];
  const end = at + sought.trim().length;
  return [text.slice(0, at), h('mark', {}, text.slice(at, end)), text.slice(end)];
}
