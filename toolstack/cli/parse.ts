/**
 * Words of a command line to what a command is given. The only importer of commander. Wrong words are a Fault of kind `usage`: exit code 2, as xl's.
 */
import { Command, CommanderError } from 'commander';
import { Fault } from '../io/fault.ts';
import type { Choice } from './verb.ts';

export interface Parsed {
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
}

/** `name`: for messages. `-h` and `--help` are always understood: the flag `help`. */
export function parseWords(name: string, choices: readonly Choice[], args: readonly string[]): Parsed {
  const command = new Command(name)
    .helpOption(false)
    .argument('[words...]')
    .option('-h, --help')
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} });
  for (const { flags } of choices) command.option(flags);
  try {
    command.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new Fault(`${name}: ${error.message.replace(/^error: /, '').replaceAll('\n', ' ')}`, {
      kind: 'usage',
    });
  }
  return { words: command.args, flags: command.opts() };
}
