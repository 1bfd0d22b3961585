/**
 * The forms that change one node: its value, its permissions, a new child, its removal. Each change holds only if the node is as it was when
 * the form was opened; if it is not, what has changed is shown, and nothing is written until one says so. Knows no tree.
 */
import { ApiError } from './api.ts';
import type { App } from './app.ts';
import { type Child, h, type VNode } from './dom.ts';
import type { Letter, Permission, StoreNode } from './types.ts';
import { parseText, toBase64 } from './value.ts';
import { childPath, mayWords, permissionLetters, shownValue } from './words.ts';

export interface EditorOptions {
  saved(path: string): void;
  removed(): void;
}

type Form = 'value' | 'permissions' | 'child' | 'remove';

export class Editor {
  readonly #app: App;
  readonly #options: EditorOptions;
  #form: Form | undefined;
  /** The node as it was when the form was opened. */
  #base: StoreNode | undefined;
  /** The node as it is, after a change was refused because of it. */
  #theirs: StoreNode | undefined;
  #text = '';
  #name = '';
  #permissions: Permission[] = [];
  #wrong = '';
  #busy = false;

  constructor(app: App, options: EditorOptions) {
    this.#app = app;
    this.#options = options;
  }

  close(): void {
    this.#form = undefined;
    this.#app.refresh();
  }

  render(node: StoreNode): Child {
    if (!this.#app.mayWrite) return undefined;
    if (this.#form === undefined || this.#base === undefined) return this.#buttons(node);
    const fields = {
      value: () => this.#valueFields('New value'),
      permissions: () => this.#permissionFields(),
      child: () => [this.#nameField(), this.#valueFields('Value')],
      remove: () => this.#removal(node),
    };
    const verb = { value: 'Write', permissions: 'Set permissions', child: 'Add', remove: 'Remove' };
    return h(
      'form',
      {
        class: 'editor',
        key: `${this.#form} ${node.path}`,
        on: {
          submit: (event) => {
            event.preventDefault();
            void this.#submit();
          },
          keydown: (event) => {
            if (event.key === 'Escape') this.close();
          },
        },
      },
      fields[this.#form](),
      this.#theirs && this.#conflict(this.#base, this.#theirs),
      this.#wrong !== '' && h('p', { class: 'bad', role: 'alert' }, this.#wrong),
      h(
        'p',
        { class: 'buttons' },
        h(
          'button',
          { class: this.#form === 'remove' ? 'danger' : 'primary', disabled: this.#busy },
          this.#theirs ? `${verb[this.#form]} all the same` : verb[this.#form],
        ),
        h('button', { type: 'button', on: { click: () => this.close() } }, 'Cancel'),
      ),
    );
  }

  #buttons(node: StoreNode): VNode {
    const button = (form: Form, text: string): VNode =>
      h('button', { class: 'quiet', on: { click: () => this.#open(form, node) } }, text);
    return h(
      'p',
      { class: 'buttons' },
      button('value', 'Edit value'),
      button('permissions', 'Permissions'),
      button('child', 'Add child'),
      node.path !== '/' && button('remove', 'Remove'),
    );
  }

  #open(form: Form, node: StoreNode): void {
    this.#form = form;
    this.#base = node;
    this.#theirs = undefined;
    this.#wrong = '';
    this.#name = '';
    this.#text = form === 'value' && !node.value.masked ? node.value.text : '';
    this.#permissions = [...node.permissions];
    this.#app.refresh();
  }

  #valueFields(label: string): Child {
    const input = (event: Event): void => {
      this.#text = (event.target as HTMLTextAreaElement).value;
    };
    return [
      h(
        'label',
        {},
        label,
        h('textarea', {
          rows: 3,
          name: 'value',
          spellcheck: 'false',
          value: this.#text,
          'aria-describedby': 'escapes',
          ref: (element) => {
            if (this.#form === 'value') queueMicrotask(() => element.focus());
          },
          on: { input },
        }),
      ),
      h('p', { class: 'faint', id: 'escapes' }, 'Bytes that are no text: \\n \\r \\t \\\\ \\xNN'),
    ];
  }

  #nameField(): VNode {
    return h(
      'label',
      {},
      'Name of the child',
      h('input', {
        name: 'name',
        required: true,
        autocomplete: 'off',
        spellcheck: 'false',
        pattern: '[a-zA-Z0-9\\-_@]+(/[a-zA-Z0-9\\-_@]+)*',
        title: 'letters, digits, - _ @',
        value: this.#name,
        ref: (element) => queueMicrotask(() => element.focus()),
        on: {
          input: (event) => {
            this.#name = (event.target as HTMLInputElement).value;
          },
        },
      }),
    );
  }

  #permissionFields(): VNode {
    const change = (index: number, to: Partial<Permission>): void => {
      this.#permissions[index] = { ...this.#permissions[index]!, ...to };
      this.#app.refresh();
    };
    return h(
      'fieldset',
      {},
      h('legend', {}, 'Permissions'),
      this.#permissions.map(({ domid, letter }, index) =>
        h(
          'p',
          { class: 'permission' },
          h(
            'label',
            {},
            index === 0 ? 'Owner: domain ' : 'Domain ',
            h('input', {
              type: 'number',
              min: 0,
              max: 65535,
              required: true,
              value: domid,
              on: {
                input: (event) => change(index, { domid: Number((event.target as HTMLInputElement).value) }),
              },
            }),
          ),
          h(
            'label',
            {},
            index === 0 ? 'everybody else ' : '',
            h(
              'select',
              {
                'aria-label': index === 0 ? 'Everybody else' : `Domain ${domid}`,
                value: letter,
                on: {
                  change: (event) =>
                    change(index, { letter: (event.target as HTMLSelectElement).value as Letter }),
                },
              },
              (['n', 'r', 'w', 'b'] as const).map((each) => h('option', { value: each }, mayWords(each))),
            ),
          ),
          index > 0 &&
            h(
              'button',
              {
                type: 'button',
                class: 'quiet small',
                on: {
                  click: () => {
                    this.#permissions.splice(index, 1);
                    this.#app.refresh();
                  },
                },
              },
              'remove',
            ),
        ),
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'quiet small',
          on: {
            click: () => {
              this.#permissions.push({ domid: 0, letter: 'r' });
              this.#app.refresh();
            },
          },
        },
        'add a domain',
      ),
    );
  }

  #removal(node: StoreNode): VNode {
    const below = node.children.length === 0 ? '' : ` and all below it (${node.children.length} children)`;
    return h('p', {}, 'Remove ', h('code', {}, node.path), `${below}?`);
  }

  #conflict(base: StoreNode, theirs: StoreNode): VNode {
    const rows: [string, string, string][] = [
      ['value', shownValue(base.value), shownValue(theirs.value)],
      ['permissions', permissionLetters(base.permissions), permissionLetters(theirs.permissions)],
      ['children', `${base.children.length}`, `${theirs.children.length}`],
    ];
    const changed = rows.filter(([, before, now]) => before !== now);
    return h(
      'div',
      { class: 'conflict', role: 'alert' },
      h('p', {}, 'Somebody changed this node meanwhile. Nothing was written.'),
      h(
        'table',
        {},
        h('tr', {}, h('th', {}, 'what'), h('th', {}, 'was'), h('th', {}, 'is now')),
        changed.map(([what, before, now]) =>
          h('tr', {}, h('th', {}, what), h('td', {}, h('code', {}, before)), h('td', {}, h('code', {}, now))),
        ),
      ),
    );
  }

  async #submit(): Promise<void> {
    const base = this.#base!;
    const form = this.#form!;
    this.#wrong = '';
    this.#busy = true;
    this.#app.refresh();
    try {
      const path = await this.#change(form, base, this.#theirs ?? base);
      this.close();
      if (form === 'remove') this.#options.removed();
      else this.#options.saved(path);
    } catch (error) {
      if (error instanceof ApiError && error.status === 412) await this.#compare(base.path, form);
      else this.#wrong = (error as Error).message;
    }
    this.#busy = false;
    this.#app.refresh();
  }

  /** Answers the path that was written. */
  async #change(form: Form, base: StoreNode, now: StoreNode): Promise<string> {
    const { api } = this.#app;
    const query = { path: base.path };
    const headers = now.etag === undefined ? {} : { 'if-match': `"${now.etag}"` };
    if (form === 'remove') await api.send('/v1/node', { method: 'DELETE', query, headers });
    else if (form === 'permissions')
      await api.send('/v1/permissions', {
        method: 'PUT',
        query,
        headers,
        body: { permissions: this.#permissions },
      });
    else {
      const path = form === 'child' ? childPath(base.path, this.#name) : base.path;
      const body = { value: { base64: toBase64(parseText(this.#text)) } };
      const condition = form === 'child' ? { 'if-none-match': '*' } : headers;
      await api.send('/v1/node', { method: 'PUT', query: { path }, headers: condition, body });
      return path;
    }
    return base.path;
  }

  async #compare(path: string, form: Form): Promise<void> {
    if (form === 'child') {
      this.#wrong = 'there is such a child already';
      return;
    }
    try {
      this.#theirs = await this.#app.api.get<StoreNode>('/v1/node', { path });
    } catch (error) {
      this.#wrong =
        error instanceof ApiError && error.status === 404 ? 'the node is no more' : (error as Error).message;
    }
  }
}
