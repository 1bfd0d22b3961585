/**
 * The words for people: a line for each thing that happens, and the table at the end. Pure text; writes nowhere.
 */
import type { StoreKind } from './scenario.ts';

export type Outcome = 'passed' | 'failed' | 'not run';

export interface RowResult {
  readonly name: string;
  readonly store: StoreKind;
  readonly outcome: Outcome;
  readonly seconds?: number;
  readonly figures: readonly (readonly [name: string, value: number | string])[];
  /** Why it failed, or was not run. */
  readonly why?: string;
}

const MARKS: Readonly<Record<Outcome, string>> = { passed: 'ok', failed: 'FAILED', 'not run': 'not run' };

export function seconds(value: number): string {
  return `${value.toFixed(1)} s`;
}

export function resultLine({ name, outcome, seconds: time, why }: RowResult): string {
  const tail = time === undefined ? '' : `  ${seconds(time)}`;
  const reason = why === undefined ? '' : `\n${indent(why, '      ')}`;
  return `  ${MARKS[outcome].padEnd(7)} ${name}${tail}${reason}`;
}

export function indent(text: string, by: string): string {
  return text.replace(/^(?=.)/gm, by);
}

/** One line a row, figures below each other where there are many. */
export function table(results: readonly RowResult[]): string {
  const rows = results.map((result) => [
    result.name,
    result.store,
    MARKS[result.outcome],
    result.seconds === undefined ? '' : result.seconds.toFixed(1),
  ]);
  const head = ['scenario', 'store', 'result', 'seconds'];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 3 ? cell.padStart(widths[3]!) : cell.padEnd(widths[column]!)))
      .join('  ');
  const lines = [`${line(head)}  figures`, widths.map((width) => '-'.repeat(width)).join('  ')];
  for (const [index, row] of rows.entries()) {
    const figures = results[index]!.figures.map(([name, value]) => `${name} ${value}`);
    const start = line(row);
    for (const [part, text] of wrap(figures, 70).entries())
      lines.push(`${part === 0 ? start : ' '.repeat(start.length)}  ${text}`.trimEnd());
  }
  return lines.join('\n');
}

/** The whole run in a few words. */
export function verdict(results: readonly RowResult[]): string {
  const count = (outcome: Outcome) => results.filter((result) => result.outcome === outcome).length;
  const [failed, left] = [count('failed'), count('not run')];
  return [
    `${count('passed')} of ${results.length} passed`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(left > 0 ? [`${left} not run`] : []),
  ].join(', ');
}

function wrap(words: readonly string[], width: number): readonly string[] {
  const lines = [''];
  for (const word of words) {
    const joined = lines.at(-1) === '' ? word : `${lines.at(-1)}, ${word}`;
    if (joined.length <= width) lines[lines.length - 1] = joined;
    else lines.push(word);
  }
  return lines;
}

const CONSOLE_LINES = 12;

/** Of a console: from the first line that tells of a crash, else its end. */
export function whatMatters(console: string): readonly string[] {
  const lines = console
    .replaceAll('\r', '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const crash = lines.findIndex((line) =>
    /Kernel panic|BUG:|Oops|Panic on CPU|FATAL|Out of memory/.test(line),
  );
  return crash < 0 ? lines.slice(-CONSOLE_LINES) : lines.slice(crash, crash + CONSOLE_LINES);
}
