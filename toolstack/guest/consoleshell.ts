/**
 * A tiny shell for whoever joins a small guest's terminal: it echoes what is typed, edits a line, and answers a few commands. Lines that the guest prints
 * meanwhile stand above the one that is being typed. Knows no ring and no port: bytes come in, text goes out.
 */

export interface ShellOptions {
  /** To whoever is at the terminal. */
  readonly write: (text: string) => void;
  /** The guest's, for the prompt. */
  readonly name: string;
  readonly commands: Readonly<Record<string, ShellCommand>>;
}

export interface ShellCommand {
  readonly help: string;
  /** The words after its name, as they stand. The answer's lines. */
  readonly run: (words: string) => Promise<readonly string[]> | readonly string[];
}

const MOST_CHARACTERS = 200;
const [INTERRUPT, BACKSPACE, KILL, DELETE] = ['\x03', '\b', '\x15', '\x7f'];
const ERASE_LINE = '\r\x1b[K';

export class Shell {
  readonly #options: ShellOptions;
  readonly #decoder = new TextDecoder();
  #line = '';
  /** Somebody has typed something: a prompt is worth showing. */
  #awake = false;
  #busy = false;
  #lastWasReturn = false;
  readonly #typedAhead: string[] = [];

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  /** A line of the guest's own. */
  print(text: string): void {
    const { write } = this.#options;
    const shown = this.#awake && !this.#busy;
    write(`${shown ? ERASE_LINE : ''}${text.replaceAll('\n', '\r\n')}\r\n`);
    if (shown) write(this.#prompt + this.#line);
  }

  /** What was typed. */
  input(bytes: Uint8Array): void {
    // Both ends of a line come together, from who sends both.
    this.#lastWasReturn = false;
    for (const character of this.#decoder.decode(bytes, { stream: true })) {
      if (!this.#busy) this.#type(character);
      else if (this.#typedAhead.length < MOST_CHARACTERS) this.#typedAhead.push(character);
    }
  }

  get #prompt(): string {
    return `${this.#options.name}# `;
  }

  #type(character: string): void {
    const { write } = this.#options;
    const afterReturn = this.#lastWasReturn;
    this.#lastWasReturn = character === '\r';
    if (character === '\n' && afterReturn) return;
    if (!this.#awake) {
      this.#awake = true;
      if (character !== '\r' && character !== '\n') write(this.#prompt);
    }
    if (character === '\r' || character === '\n') {
      write('\r\n');
      const line = this.#line;
      this.#line = '';
      void this.#run(line.trim());
    } else if (character === INTERRUPT || character === KILL) {
      this.#line = '';
      write(character === KILL ? ERASE_LINE + this.#prompt : `^C\r\n${this.#prompt}`);
    } else if (character === BACKSPACE || character === DELETE) {
      if (this.#line === '') return;
      this.#line = [...this.#line].slice(0, -1).join('');
      write('\b \b');
    } else if (character >= ' ' && this.#line.length < MOST_CHARACTERS) {
      this.#line += character;
      write(character);
    }
  }

  async #run(line: string): Promise<void> {
    const { write } = this.#options;
    this.#busy = true;
    for (const answer of await this.#answer(line)) write(`${answer}\r\n`);
    this.#busy = false;
    write(this.#prompt);
    const rest = this.#typedAhead.splice(0);
    rest.forEach((character, index) => {
      if (this.#busy) this.#typedAhead.push(...rest.slice(index, index + 1));
      else this.#type(character);
    });
  }

  async #answer(line: string): Promise<readonly string[]> {
    if (line === '') return [];
    const { commands } = this.#options;
    const [, name = '', words = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
    if (name === 'help')
      return Object.entries(commands).map(([word, { help }]) => `  ${word.padEnd(10)}${help}`);
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) return [`${name}: no such command; help lists them`];
    try {
      return await command.run(words);
    } catch (error) {
      return [`${name}: ${error instanceof Error ? error.message : error}`];
    }
  }
}
