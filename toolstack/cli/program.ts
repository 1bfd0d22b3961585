/**
 * The `stubdom0` command: its words and flags. The only importer of commander. What a word does stands in the file of its name.
 */
import { Command } from 'commander';
import { runPath } from '../io/state.ts';
import { down } from './down.ts';
import { list, status } from './status.ts';

interface RunFlag {
  readonly run?: string;
}

/** Answers the exit code. `args`: without the program's name. */
export async function runProgram(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  let code = 0;
  const program = new Command('stubdom0')
    .description("Brings a host of Xen's parts up, on a simulated machine, and down again.")
    .showHelpAfterError('(stubdom0 --help tells more)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'stubdom0: ')) });
  const word = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option(
        '--run <dir>',
        'run directory of the host (default: STUBDOM0_RUN, or stubdom0 in XDG_RUNTIME_DIR or /run)',
      )
      .allowExcessArguments(false);

  word('up', 'brings a host up and keeps it, until Ctrl-C or "stubdom0 down"')
    .option('--host <file>', 'what the host consists of (JSON; default: toolstack/hosts/small.json)')
    .option('--detach', 'come back once it is up, and leave it running')
    .action(async ({ run, host, detach }: RunFlag & { host?: string; detach?: true }) => {
      // Most of what this program can load is for this word alone.
      const { up } = await import('./up.ts');
      code = await up({
        run: runPath(run, env),
        host,
        stay: detach === undefined ? 'foreground' : 'detached',
      });
    });
  word('down', 'takes a host down, and waits until it is').action(async ({ run }: RunFlag) => {
    code = await down(runPath(run, env));
  });
  word('status', 'shows the processes of a host')
    .option('--json', 'for programs')
    .action(async ({ run, json }: RunFlag & { json?: true }) => {
      code = await status(runPath(run, env), json === undefined ? 'text' : 'json');
    });
  word('list', 'lists the domains of a host').action(async ({ run }: RunFlag) => {
    code = await list(runPath(run, env));
  });
  program
    .command('doctor')
    .description('tells whether xenstored can serve this machine, and what is missing')
    .option('--json', 'for programs')
    .allowExcessArguments(false)
    .action(async ({ json }: { json?: true }) => {
      const { doctor } = await import('./doctor.ts');
      code = await doctor(json === undefined ? 'text' : 'json');
    });
  await program.parseAsync(args, { from: 'user' });
  return code;
}
