/**
 * The repository as the tidy rules see it: every file with its text, its text without comments and without strings,
 * and its imports. A scanner and a few patterns instead of a compiler: it knows where comments and strings are, no more.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export const top: string = join(dirname(fileURLToPath(import.meta.url)), '../..');

export interface Import {
  readonly line: number;
  readonly specifier: string;
  readonly typesOnly: boolean;
  /** The imported file's path from the top, of a relative import; undefined: a package or `node:`. */
  readonly target: string | undefined;
}

export interface SourceFile {
  /** From the top, with `/`. */
  readonly path: string;
  readonly text: string;
  /** The text with comments blanked out; lines stay where they are. */
  readonly code: string;
  /** Strings' contents blanked out too. */
  readonly bare: string;
  readonly imports: readonly Import[];
}

const skipped = new Set(['node_modules', 'dist', '.git', 'coverage']);
const textual = /\.(ts|mjs|js|json|md|c|h|lua|yml|txt|sh)$|^\.ci\/|(^|\/)(LICENSE|\.gitignore|\.npmrc)$/;

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(join(top, folder), { withFileTypes: true })) {
    if (skipped.has(entry.name) || entry.name.startsWith('.dist-')) continue;
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile()) yield path;
  }
}

/** What stands at the top of the repository, build products left out. */
export function topEntries(): string[] {
  return readdirSync(top).filter((name) => !skipped.has(name) && !name.startsWith('.dist-'));
}

export function exists(path: string): boolean {
  return existsSync(join(top, path));
}

export function readText(path: string): string {
  return readFileSync(join(top, path), 'utf8');
}

/** Every text file's path, small ones only: a capture or an image is nobody's source. */
export function textFiles(): string[] {
  return [...walk('')].filter((path) => textual.test(path) && statSync(join(top, path)).size < 1_000_000);
}

export function sourceFiles(): SourceFile[] {
  return [...walk('')].filter((path) => /\.(ts|mjs)$/.test(path)).map((path) => parse(path, readText(path)));
}

export function parse(path: string, text: string): SourceFile {
  const { code, bare } = blank(text);
  return { path, text, code, bare, imports: findImports(path, code) };
}

export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

const statement =
  /^[ \t]*(?:import|export)\b(\s+type\b)?((?:[^'"`;=()]|\bas\b)*?)(?:\bfrom\s*)?(['"])([^'"\n]+)\3/gm;
const call = /\bimport\s*\(\s*(['"])([^'"\n]+)\1/g;

function findImports(path: string, code: string): Import[] {
  const found: Import[] = [];
  const add = (offset: number, specifier: string, typesOnly: boolean): void => {
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
    found.push({ line: lineAt(code, offset), specifier, typesOnly, target });
  };
  for (const match of code.matchAll(statement)) {
    if (/^\s*export\s+(?:const|let|function|class|interface|default|async|abstract)\b/.test(match[0]))
      continue;
    const names = /\{([^}]*)\}/.exec(match[2]!)?.[1];
    const listed =
      names
        ?.split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '') ?? [];
    const allTypes = listed.length > 0 && listed.every((name) => name.startsWith('type '));
    add(match.index, match[4]!, match[1] !== undefined || allTypes);
  }
  // `typeof import('x')` and `import('x').Name` as types are rare enough to be taken as imports of a value.
  for (const match of code.matchAll(call)) add(match.index, match[2]!, false);
  return found;
}

/** Blanks comments (in both) and the insides of strings (in `bare`), character for character. */
function blank(text: string): { code: string; bare: string } {
  const comment = /\/\/[^\n]*|\/\*[\s\S]*?\*\//;
  const string = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`/;
  // A slash is a division unless it follows what cannot end an expression.
  const regexp =
    /(?<=[=(,:[!&|?{};\n]\s*|\breturn\s+)\/(?![/*])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/;
  const token = new RegExp([comment, string, regexp].map(({ source }) => source).join('|'), 'g');
  const spaces = (piece: string): string => piece.replace(/[^\n]/g, ' ');
  const isComment = (piece: string): boolean => piece.startsWith('//') || piece.startsWith('/*');
  return {
    code: text.replace(token, (piece) => (isComment(piece) ? spaces(piece) : piece)),
    bare: text.replace(token, (piece) => {
      if (isComment(piece)) return spaces(piece);
      // Code inside a template's ${} still counts.
      if (piece.startsWith('`'))
        return piece.replace(/\$\{[^{}]*\}|[^\n]/g, (part) => (part.length > 1 ? part : ' '));
      return piece[0]! + spaces(piece.slice(1, -1)) + piece.at(-1)!;
    }),
  };
}
