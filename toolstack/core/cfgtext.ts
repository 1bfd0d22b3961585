/**
 * The words of an xl.cfg: names, numbers, strings, brackets, signs and ends of lines, each with its line. Answers as xl's scanner (libxlu_cfg_l.l) does,
 * but for a comment in the last line, which needs no end of line here, and for escapes by number, which that drops. Knows no grammar.
 */

export type Token =
  | { readonly kind: 'name' | 'number' | 'string'; readonly text: string; readonly line: number }
  | { readonly kind: '=' | '+=' | '[' | ']' | ',' | ';' | 'newline' | 'end'; readonly line: number }
  /** `text` says what is wrong. */
  | { readonly kind: 'wrong'; readonly text: string; readonly line: number };

const NAME = /[a-z][._0-9a-z]*/y;
const NUMBER = /[0-9][0-9a-fx]*/y;
const STRING = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/y;
const SIGN = /\+=|[=[\],;]/y;
const SPACE = /[ \t]+|#[^\n]*/y;
/** What is left of something that is no word. */
const REST = /[^ \t\n,;\]]+/y;

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '"': '"',
  "'": "'",
  '\\': '\\',
};

/** The last one is `end`. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  while (at < text.length) {
    if (take(SPACE) !== undefined) continue;
    if (text[at] === '\n') {
      at++;
      tokens.push({ kind: 'newline', line: line++ });
      continue;
    }
    tokens.push(next(take, line));
  }
  tokens.push({ kind: 'end', line });
  return tokens;
}

function next(take: (pattern: RegExp) => string | undefined, line: number): Token {
  const string = take(STRING);
  if (string !== undefined) return unquoted(string.slice(1, -1), line);
  const sign = take(SIGN);
  if (sign !== undefined) return { kind: sign as '=', line };
  const name = take(NAME);
  if (name !== undefined) {
    const rest = take(REST_OF_NAME);
    return rest === undefined ? { kind: 'name', text: name, line } : wrongWord(name + rest, line);
  }
  const number = take(NUMBER);
  if (number !== undefined) {
    const rest = take(REST_OF_NAME);
    return rest === undefined ? { kind: 'number', text: number, line } : wrongWord(number + rest, line);
  }
  return wrongWord(take(REST) ?? '', line);
}

/** Letters that neither a name nor a number has: `Name`, `512M`, `a-b`. */
const REST_OF_NAME = /[^ \t\n,;=+[\]#'"]+/y;

function wrongWord(word: string, line: number): Token {
  return { kind: 'wrong', text: complaint(word), line };
}

function complaint(word: string): string {
  const shown = word.length > 40 ? `${word.slice(0, 40)}...` : word;
  if (/^['"]/.test(word)) return 'expected the end of this string: its closing quote is missing in this line';
  if (word === '\r' || word.endsWith('\r'))
    return 'expected lines that end as on Unix, without a carriage return';
  if (/^[a-zA-Z]/.test(word)) return `expected a name in lower case or a string in quotes, not ${shown}`;
  if (/^[-+]?[0-9]/.test(word)) return `expected a plain number or a string in quotes, not ${shown}`;
  return `expected a name, a number, a string in quotes or a list, not ${shown}`;
}

function unquoted(inside: string, line: number): Token {
  let wrong: string | undefined;
  if (inside.includes('\0'))
    return { kind: 'wrong', text: 'expected text, not a byte 0, in this string', line };
  const text = inside.replace(/\\(.)/g, (_, letter: string) => {
    const meant = escapes[letter];
    if (meant === undefined) wrong ??= letter;
    return meant ?? '';
  });
  if (wrong === undefined) return { kind: 'string', text, line };
  return {
    kind: 'wrong',
    text: `expected one of \\\\ \\' \\" \\a \\b \\f \\n \\r \\t \\v in this string, not \\${wrong}`,
    line,
  };
}
