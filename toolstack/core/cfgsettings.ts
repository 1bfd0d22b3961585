/**
 * The settings of an xl.cfg: which name has which value, and in which line; the grammar of xl's parser (libxlu_cfg_y.y). A mistake costs its line,
 * or its list, so that as many as there are can be told at once. Knows no name.
 */
import { type Token, tokensOf } from './cfgtext.ts';

export type CfgValue =
  | { readonly kind: 'atom'; readonly text: string; readonly line: number }
  | { readonly kind: 'list'; readonly items: readonly CfgValue[]; readonly line: number };

export interface CfgSetting {
  readonly name: string;
  readonly value: CfgValue;
  /** Of the name. */
  readonly line: number;
  /** It was put together with `+=`. */
  readonly added: boolean;
}

export interface CfgMistake {
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

export interface CfgSettings {
  /** The last one of each name counts. */
  readonly settings: ReadonlyMap<string, CfgSetting>;
  readonly errors: readonly CfgMistake[];
}

/** Lists within lists: more is a mistake, and must not cost a stack. */
const DEPTH_MAX = 16;

/** Never throws. */
export function readSettings(text: string): CfgSettings {
  return new Reader(tokensOf(text)).read();
}

/** Thrown and caught within this file. */
class Mistake {
  readonly line: number;
  readonly text: string;

  constructor(line: number, text: string) {
    this.line = line;
    this.text = text;
  }
}

class Reader {
  readonly #tokens: readonly Token[];
  readonly #settings = new Map<string, CfgSetting>();
  readonly #errors: CfgMistake[] = [];
  #at = 0;
  /** Brackets that are open. */
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  read(): CfgSettings {
    while (!this.#is('end')) {
      try {
        this.#statement();
      } catch (error) {
        if (!(error instanceof Mistake)) throw error;
        this.#errors.push({ line: error.line, text: error.text });
        this.#recover();
      }
    }
    return { settings: this.#settings, errors: this.#errors };
  }

  get #now(): Token {
    return this.#tokens[this.#at]!;
  }

  #statement(): void {
    if (this.#ends()) {
      this.#at++;
      return;
    }
    const name = this.#now;
    if (name.kind !== 'name') throw this.#expected('a name');
    this.#at++;
    const sign = this.#now;
    if (sign.kind !== '=' && sign.kind !== '+=') throw this.#expected(`= after ${name.text}`);
    this.#at++;
    const value = this.#value(`a value for ${name.text}`);
    if (!this.#ends() && !this.#is('end'))
      throw this.#expected(`the end of the line after the value of ${name.text}`);
    this.#store(name.text, name.line, sign.kind, value);
  }

  #is(kind: Token['kind']): boolean {
    return this.#now.kind === kind;
  }

  #ends(): boolean {
    return this.#is('newline') || this.#is(';');
  }

  #value(what: string): CfgValue {
    const token = this.#now;
    if (token.kind === 'string' || token.kind === 'number') {
      this.#at++;
      return { kind: 'atom', text: token.text, line: token.line };
    }
    if (token.kind === '[') return this.#list(token.line);
    throw this.#expected(`${what}: a number, a string in quotes or a list in brackets`);
  }

  #list(line: number): CfgValue {
    if (this.#depth === DEPTH_MAX) throw new Mistake(line, `expected lists no deeper than ${DEPTH_MAX}`);
    this.#depth++;
    const items: CfgValue[] = [];
    this.#at++;
    this.#lines();
    while (!this.#is(']')) {
      items.push(this.#value('an element of the list, or ]'));
      this.#lines();
      if (this.#is(',')) {
        this.#at++;
        this.#lines();
      } else if (!this.#is(']')) throw this.#expected(`, or ] in the list that begins in line ${line}`);
    }
    this.#at++;
    this.#depth--;
    return { kind: 'list', items, line };
  }

  /** Within a list, lines may end anywhere. */
  #lines(): void {
    while (this.#is('newline')) this.#at++;
  }

  #store(name: string, line: number, sign: '=' | '+=', value: CfgValue): void {
    const before = sign === '+=' ? this.#settings.get(name)?.value : undefined;
    const setting = { name, line, added: sign === '+=' };
    if (before === undefined) this.#settings.set(name, { ...setting, value });
    else if (before.kind === 'atom' && value.kind === 'atom')
      this.#settings.set(name, { ...setting, value: { ...value, text: before.text + value.text } });
    else if (before.kind === 'list' && value.kind === 'list')
      this.#settings.set(name, { ...setting, value: { ...value, items: [...before.items, ...value.items] } });
    else
      throw new Mistake(
        line,
        `expected a ${before.kind === 'list' ? 'list' : 'string'} after ${name} +=, as it was in line ${before.line}`,
      );
  }

  #expected(what: string): Mistake {
    const { kind, line } = this.#now;
    if (kind === 'wrong') return new Mistake(line, this.#now.text);
    return new Mistake(line, `expected ${what}, not ${shown(this.#now)}`);
  }

  /** To where the next statement may begin: the next line, or, of a list, behind its end, or where a line looks like a setting. */
  #recover(): void {
    let open = this.#depth;
    this.#depth = 0;
    while (!this.#is('end')) {
      const { kind } = this.#now;
      if (open === 0 && kind === 'newline') return;
      if (open > 0 && this.#looksLikeSetting()) return;
      if (kind === ']' && open > 0) open--;
      if (kind === '[') open++;
      this.#at++;
    }
  }

  #looksLikeSetting(): boolean {
    const sign = this.#tokens[this.#at + 1]?.kind;
    return (
      this.#now.kind === 'name' &&
      (sign === '=' || sign === '+=') &&
      this.#tokens[this.#at - 1]?.kind === 'newline'
    );
  }
}

function shown(token: Token): string {
  switch (token.kind) {
    case 'newline':
      return 'the end of the line';
    case 'end':
      return 'the end of the file';
    case 'string':
      return `the string "${token.text.length > 40 ? `${token.text.slice(0, 40)}...` : token.text}"`;
    case 'name':
    case 'number':
      return token.text.length > 40 ? `${token.text.slice(0, 40)}...` : token.text;
    default:
      return token.kind;
  }
}
