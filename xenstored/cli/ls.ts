/**
 * `xenstore ls`: the tree, a node a line, to the byte as Xen's client prints it (tools/xs-clients/xenstore_client.c). It uses no
 * transaction: what it shows may change under it. A directory's values are asked for at once, not one by one.
 */
import { XenstoreError } from '../client/error.ts';
import type { PermEntry, Store } from '../client/store.ts';
import { escapeValue, fromBytes, fromText } from './bytes.ts';
import type { Wanted } from './modes.ts';
import { failWith, type Program, shortName } from './program.ts';
import { errorText } from './strerror.ts';

const DEFAULT_WIDTH = 80;
/** Permissions begin behind this column. */
const DESIRED_WIDTH = 60;
/** Room for ` = "..."` around a value. */
const TAG_WIDTH = 8;

/** More at once would be a burden on the server and no quicker. */
const BATCH = 64;

interface Layout {
  readonly width: number;
  readonly flat: boolean;
  readonly perms: boolean;
}

interface Child {
  readonly name: string;
  readonly path: string;
  readonly value: Buffer | XenstoreError;
  readonly perms: PermEntry[] | XenstoreError;
}

export async function ls(program: Program, store: Store, { flags, operands }: Wanted): Promise<void> {
  const { columns } = program;
  const flat = flags.has('f');
  const width = columns === undefined ? DEFAULT_WIDTH : columns - 2;
  const layout = {
    width: flat && columns === undefined ? Number.MAX_SAFE_INTEGER : width,
    flat,
    perms: flags.has('p'),
  };
  for (const path of operands) await list(program, store, layout, path, 0);
}

async function list(
  program: Program,
  store: Store,
  layout: Layout,
  path: string,
  depth: number,
): Promise<void> {
  let names: string[];
  try {
    names = await store.directory(path);
  } catch (error) {
    // Gone while we were on our way to it.
    if (depth > 0 && error instanceof XenstoreError && error.code === 'ENOENT') return;
    throw failWith(program, `xs_directory (${path})`, error);
  }
  const prefix = path.endsWith('/') ? path : `${path}/`;
  for (let at = 0; at < names.length; at += BATCH) {
    const batch = names.slice(at, at + BATCH).map(fromText);
    const children = await Promise.all(batch.map((name) => look(store, layout, name, `${prefix}${name}`)));
    for (const child of children) {
      show(program, layout, child, depth);
      await list(program, store, layout, child.path, depth + 1);
    }
  }
}

async function look(store: Store, layout: Layout, name: string, path: string): Promise<Child> {
  const told = (error: unknown): XenstoreError => {
    if (error instanceof XenstoreError) return error;
    throw error;
  };
  const [value, perms] = await Promise.all([
    store.read(path).catch(told),
    layout.perms ? store.getPerms(path).catch(told) : [],
  ]);
  return { name, path, value, perms };
}

function show(program: Program, layout: Layout, { name, path, value, perms }: Child, depth: number): void {
  const label = layout.flat ? path : `${' '.repeat(depth)}${cut(name, layout.width - TAG_WIDTH - depth)}`;
  // A whole path does not count: nothing is cut or filled behind it.
  const used = layout.flat ? 0 : label.length;
  let line = label;
  if (value instanceof XenstoreError) line += ':\n';
  else line += shownValue(layout, fromBytes(value), used);
  if (perms instanceof XenstoreError) {
    const why = errorText(perms.code);
    program.err(`${shortName(program)}: \ncould not access permissions for ${name}: ${why}\n`);
  } else if (layout.perms) {
    line += `  (${perms.map(({ letter, domid }) => `${letter}${domid}`).join(',')})`;
  }
  program.out(`${line}\n`);
}

function shownValue({ width, flat, perms }: Layout, value: string, used: number): string {
  const escaped = escapeValue(value);
  // As C compares: a negative width is a very large one. The length is that of the value itself, not of what is shown.
  if (width >= 0 && width < used + value.length + TAG_WIDTH) {
    return ` = "${cut(escaped, width - TAG_WIDTH - used)}\\..."`;
  }
  const shown = ` = "${escaped}"`;
  if (!perms) return shown;
  const edge = Math.min(flat ? 0 : DESIRED_WIDTH, width);
  let filler = ' ';
  for (let column = used + shown.length + 1; column < edge; column++) filler += column & 1 ? '.' : ' ';
  return shown + filler;
}

/** As `%.*s`: a negative length is none. */
function cut(text: string, length: number): string {
  return length < 0 ? text : text.slice(0, length);
}
