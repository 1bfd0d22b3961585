/**
 * Elements as plain descriptions, and the one function that makes a part of the document look like them: keyed, keeping focus, scroll
 * positions and half-typed text where they are. Text only ever becomes a text node or an attribute's value: there is no way to write markup
 * through here, whatever a guest has put into its nodes. Knows nothing of stores.
 */
type Listeners = { readonly [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
type Style = Readonly<Record<string, string>>;

export interface Props {
  /** Among its siblings: the same element keeps it. */
  readonly key?: string;
  /** Called once, when the element is made. */
  readonly ref?: (element: HTMLElement) => void;
  readonly on?: Listeners;
  /** Set property by property, which a content security policy without inline styles permits. */
  readonly style?: Style;
  /** Attributes: true is an empty one, false and undefined none. `value` and `checked` are the properties. */
  readonly [name: string]: unknown;
}

export interface VNode {
  readonly tag: string;
  readonly props: Props;
  readonly children: readonly (VNode | string)[];
}

export type Child = VNode | string | number | false | undefined | readonly Child[];

export function h(tag: string, props: Props = {}, ...children: readonly Child[]): VNode {
  return { tag, props, children: flat(children) };
}

function flat(children: readonly Child[]): (VNode | string)[] {
  const list: (VNode | string)[] = [];
  for (const child of children) {
    if (child === false || child === undefined) continue;
    if (typeof child === 'string' || typeof child === 'number') list.push(String(child));
    else if ('tag' in child) list.push(child);
    else list.push(...flat(child));
  }
  return list;
}

const described = new WeakMap<Element, VNode>();

/** Makes the children of `parent` look like this. */
export function patch(parent: Element, children: readonly (VNode | string)[]): void {
  const wanted = new Set<string>();
  for (const child of children)
    if (typeof child !== 'string' && child.props.key !== undefined) wanted.add(child.props.key);
  const keyed = new Map<string, Element>();
  for (const element of [...parent.children]) {
    const key = described.get(element)?.props.key;
    if (key === undefined) continue;
    if (wanted.has(key)) keyed.set(key, element);
    else element.remove();
  }
  let cursor: ChildNode | null = parent.firstChild;
  for (const child of children) {
    const found = typeof child === 'string' ? sameText(cursor) : same(child, cursor, keyed);
    const node = found ?? (typeof child === 'string' ? new Text(child) : create(child, parent));
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
    if (typeof child === 'string') {
      if (node.nodeValue !== child) node.nodeValue = child;
    } else update(node as Element, child);
  }
  while (cursor !== null) {
    const next: ChildNode | null = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  }
}

function sameText(cursor: ChildNode | null): Text | undefined {
  return cursor instanceof Text ? cursor : undefined;
}

function same(child: VNode, cursor: ChildNode | null, keyed: Map<string, Element>): Element | undefined {
  const { key } = child.props;
  const candidate = key === undefined ? cursor : keyed.get(key);
  if (!(candidate instanceof Element)) return undefined;
  const before = described.get(candidate);
  return before?.tag === child.tag && before.props.key === key ? candidate : undefined;
}

const SVG = 'http://www.w3.org/2000/svg';

function create({ tag, props }: VNode, parent: Element): Element {
  const inSvg = tag === 'svg' || (parent.namespaceURI === SVG && parent.tagName !== 'foreignObject');
  const element = inSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  props.ref?.(element as HTMLElement);
  return element;
}

function update(element: Element, next: VNode): void {
  const before = described.get(element)?.props ?? {};
  described.set(element, next);
  for (const name of Object.keys(before)) if (!(name in next.props)) set(element, name, undefined);
  // The choices first: a select has no value before it has its options.
  if (!('value' in next.props)) attributes(element, before, next.props);
  patch(element, next.children);
  if ('value' in next.props) attributes(element, before, next.props);
}

function attributes(element: Element, before: Props, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (name === 'key' || name === 'ref') continue;
    if (name === 'on') listen(element, props.on!);
    else if (name === 'style') restyle(element as HTMLElement, before.style ?? {}, props.style!);
    else if (before[name] !== value || name === 'value') set(element, name, value);
  }
}

function set(element: Element, name: string, value: unknown): void {
  if (name === 'key' || name === 'ref' || name === 'on' || name === 'style') return;
  if (name === 'value' || name === 'checked') {
    const field = element as HTMLInputElement;
    if (name === 'checked') field.checked = value === true;
    else if (field.value !== String(value ?? '')) field.value = String(value ?? '');
  } else if (value === false || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : String(value));
}

function restyle(element: HTMLElement, before: Style, style: Style): void {
  for (const name of Object.keys(before)) if (!(name in style)) element.style.removeProperty(name);
  for (const [name, value] of Object.entries(style))
    if (before[name] !== value) element.style.setProperty(name, value);
}

const listened = new WeakMap<Element, Set<string>>();

/** One listener for each kind of event; which function it calls is looked up when the event comes. */
function listen(element: Element, listeners: Listeners): void {
  const kinds = listened.get(element) ?? new Set();
  listened.set(element, kinds);
  for (const kind of Object.keys(listeners)) {
    if (kinds.has(kind)) continue;
    kinds.add(kind);
    element.addEventListener(kind, (event) => {
      const now = described.get(element)?.props.on as Record<string, (event: Event) => void> | undefined;
      now?.[kind]?.(event);
    });
  }
}
