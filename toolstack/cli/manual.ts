/** The manual: a page for each command, and the list of all. Text out of the table of commands, nothing else. */
import { neededRole } from './roles.ts';
import type { Choice, Verb } from './verb.ts';

const WIDTH = 78;

type Page = Pick<Verb, 'name' | 'summary' | 'synopsis' | 'description' | 'choices' | 'examples' | 'exits'>;

export function manual(page: Page): string {
  const role = neededRole[page.name];
  const parts: (readonly [string, string])[] = [
    ['NAME', indent(`stubdom0 ${page.name} - ${page.summary}`)],
    ['SYNOPSIS', indent(`stubdom0 ${page.name} ${page.synopsis}`.trimEnd())],
    ['DESCRIPTION', page.description.map((paragraph) => indent(paragraph)).join('\n\n')],
    [
      'OPTIONS',
      [...page.choices, help].map(({ flags, text }) => `    ${flags}\n${indent(text, 8)}`).join('\n'),
    ],
  ];
  if (page.examples.length > 0) {
    const examples = page.examples.map(([line, text]) => `    stubdom0 ${line}\n${indent(text, 8)}`);
    parts.push(['EXAMPLES', examples.join('\n')]);
  }
  const exits = [...usual, ...(page.exits ?? [])].sort(([a], [b]) => a - b);
  parts.push(['EXIT STATUS', exits.map(([code, text]) => `    ${code}   ${text}`).join('\n')]);
  if (role !== undefined) parts.push(['OVER SSH', indent(`Needs a key of role ${role}.`)]);
  return parts.map(([title, text]) => `${title}\n${text}\n`).join('\n');
}

const help: Choice = { flags: '-h, --help', text: 'Shows this.' };

const usual: readonly (readonly [number, string])[] = [
  [0, 'done'],
  [1, 'not done; one line says why'],
  [2, 'the words of the command are wrong'],
];

export function usage({ name, synopsis }: Pick<Verb, 'name' | 'synopsis'>): string {
  return `Usage: stubdom0 ${name} ${synopsis}`.trimEnd();
}

/** `groups`: a title, and what stands below it. */
export function overview(
  groups: readonly (readonly [string, readonly Pick<Page, 'name' | 'summary'>[]])[],
): string {
  const width = Math.max(...groups.flatMap(([, pages]) => pages.map(({ name }) => name.length)));
  const lines = groups.map(([title, pages]) =>
    [`${title}:`, ...pages.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`)].join('\n'),
  );
  return `Usage: stubdom0 [-vN] <command> [options]\n\n${lines.join('\n\n')}\n\n"stubdom0 help COMMAND" tells all about one.\n`;
}

function indent(text: string, columns = 4): string {
  const space = ' '.repeat(columns);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH - columns) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => space + each).join('\n');
}
