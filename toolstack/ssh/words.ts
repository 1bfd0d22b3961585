/**
 * A command line as words: blanks part them, quotes and backslashes keep them together, as in a POSIX shell. Nothing is expanded and nothing is run:
 * `$`, `*`, `|` and `;` are letters like others.
 */

export interface Words {
  readonly words: readonly string[];
  /** The line ends within a quote or behind a backslash. */
  readonly open: boolean;
}

export function splitWords(line: string): Words {
  const words: string[] = [];
  // undefined: between words; an empty one has begun where a quote did.
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const letter = line[at]!;
    if (quote === "'") {
      if (letter === quote) quote = '';
      else word += letter;
    } else if (letter === '\\') {
      const next = line[at + 1];
      if (next === undefined) return { words, open: true };
      // Within double quotes a backslash is one, but before what it could keep from its meaning.
      word = (word ?? '') + (quote !== '' && !/["\\$`]/.test(next) ? letter + next : next);
      at++;
    } else if (quote !== '') {
      if (letter === quote) quote = '';
      else word += letter;
    } else if (letter === '"' || letter === "'") {
      quote = letter;
      word ??= '';
    } else if (/\s/.test(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (letter === '#' && word === undefined) {
      break;
    } else {
      word = (word ?? '') + letter;
    }
  }
  if (word !== undefined) words.push(word);
  return { words, open: quote !== '' };
}

/** The words of a line that is being typed; the last is the one to complete, empty behind a blank. */
export function wordsToComplete(line: string): readonly string[] {
  const { words, open } = splitWords(line);
  return !open && (line === '' || /(^|[^\\])\s$/.test(line)) ? [...words, ''] : words;
}
