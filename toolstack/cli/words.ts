/** Words of `stubdom0` that are a host's own affair, to be had at a shell of its machine alone. What each does stands in the file of its name. */
import { resolve } from 'node:path';
import { Fault } from '../io/fault.ts';
import { completionScript, shells } from './completion.ts';
import type { LocalSession } from './local.ts';
import type { Choice, Verb } from './verb.ts';

export interface Shell {
  /** Of the host. */
  readonly run: string;
  readonly platform: string | undefined;
  readonly env: NodeJS.ProcessEnv;
}

export interface Word extends Omit<Verb, 'run' | 'words' | 'kinds' | 'choices'> {
  /** Where only loading the word's own file tells: a function. */
  readonly choices: readonly Choice[] | (() => Promise<readonly Choice[]>);
  /** How many words it takes at most. */
  readonly most: number;
  /** Goes on when nobody reads any more what it prints. */
  readonly stays?: true;
  run(given: Pick<Parameters<Verb['run']>[0], 'words' | 'flags'>, shell: Shell): Promise<number>;
}

/** Where Xen's xendomains looks. */
const AUTOSTART = '/etc/xen/auto';

/** For all words: whose host, on which kind of machine. */
export const hostChoices: readonly Choice[] = [
  {
    flags: '--run <dir>',
    text: 'Run directory of the host (default: STUBDOM0_RUN, or stubdom0 in XDG_RUNTIME_DIR or /run).',
  },
  { flags: '--platform <name>', text: 'sim or xen (default: xen in the control domain of a real host).' },
];

export const hostWords: readonly Word[] = [
  {
    name: 'up',
    summary: 'bring a host up and keep it, until Ctrl-C or "stubdom0 down"',
    synopsis: '[options]',
    description: ['Brings up a simulated host from one file, and starts again what ends in it.'],
    choices: [
      {
        flags: '--host <file>',
        text: 'What the host consists of (JSON; default: toolstack/hosts/small.json).',
      },
      { flags: '--detach', text: 'Comes back once it is up, and leaves it running.' },
    ],
    examples: [['up --detach', 'Brings the shipped host up.']],
    most: 0,
    stays: true,
    // Most of what this program can load is for single words.
    run: async ({ flags }, { run }) =>
      await (await import('./up.ts')).up({
        run,
        host: typeof flags.host === 'string' ? flags.host : undefined,
        stay: flags.detach === undefined ? 'foreground' : 'detached',
      }),
  },
  {
    name: 'down',
    summary: 'take a host down',
    synopsis: '',
    description: [
      'Asks a running host to take itself down, and waits until it has. Nothing of it stays but what is kept outside its run directory.',
    ],
    choices: [],
    examples: [],
    most: 0,
    run: async (_, { run }) => await (await import('./down.ts')).down(run),
  },
  {
    name: 'status',
    summary: 'show the processes of a host',
    synopsis: '[options]',
    description: ['Shows each process: whether it runs, its number, and how often it was started again.'],
    choices: [{ flags: '--json', text: 'For programs.' }],
    examples: [],
    most: 0,
    run: async ({ flags }, { run }) =>
      await (await import('./status.ts')).status(run, flags.json ? 'json' : 'text'),
  },
  {
    name: 'doctor',
    summary: 'tell whether xenstored can serve this machine, and what is missing',
    synopsis: '[options]',
    description: ['Looks at the machine and changes nothing.'],
    choices: [{ flags: '--json', text: 'For programs.' }],
    examples: [],
    most: 0,
    run: async ({ flags }) => await (await import('./doctor.ts')).doctor(flags.json ? 'json' : 'text'),
  },
  {
    name: 'autostart',
    summary: "create the domains of a directory's cfg files",
    synopsis: '[options] [Directory]',
    description: [
      'Creates a domain from each file NAME.cfg of the directory, in the order of their names, but for those that are there already. Paths in a file are ' +
        'from where it is.',
    ],
    choices: [],
    examples: [['autostart', `Those of ${AUTOSTART}.`]],
    most: 1,
    run: async ({ words: [directory = AUTOSTART] }, shell) =>
      await inSession(shell, async (session) =>
        (await import('./autostart.ts')).autostart([resolve(directory)], session),
      ),
  },
  {
    name: 'completion',
    summary: `print a script for a shell's completion (${shells.join(', ')})`,
    synopsis: `<${shells.join('|')}>`,
    description: [
      'What the script completes are commands, flags, domains and devices of the host that STUBDOM0_RUN names; files the shell completes itself.',
    ],
    choices: [],
    examples: [
      ['completion bash > /etc/bash_completion.d/stubdom0', 'For bash.'],
      ['completion zsh > /usr/local/share/zsh/site-functions/_stubdom0', 'For zsh.'],
      ['completion fish > ~/.config/fish/completions/stubdom0.fish', 'For fish.'],
    ],
    most: 1,
    run: async ({ words: [shell = ''] }) => {
      const script = completionScript(shell);
      if (script === undefined) throw new Fault(`completion: for ${shells.join(', ')}`, { kind: 'usage' });
      process.stdout.write(script);
      return 0;
    },
  },
];

/** What `up` starts, and an administrator may. */
export const serviceWords: readonly Word[] = [
  {
    name: 'serve',
    summary: 'be the domain manager of a host that is up',
    synopsis: '',
    description: [
      'What "stubdom0 up" starts to make and end domains for it, and starts again should it end; domains go on without it. Serves the socket ' +
        'toolstack/socket in the run directory, until a signal.',
    ],
    choices: [],
    examples: [],
    most: 0,
    stays: true,
    run: async (_, { run }) => await (await import('./serve.ts')).serve(run),
  },
  {
    name: 'sshd',
    summary: "serve these commands and guests' consoles over SSH",
    synopsis: '[options]',
    description: [
      'What "stubdom0 up" starts where the host file says so. Public keys only; see toolstack/ssh/README.md.',
    ],
    choices: async () => (await import('./sshd.ts')).sshdChoices,
    examples: [['sshd --port 2222', 'At 127.0.0.1:2222.']],
    most: 0,
    stays: true,
    run: async ({ flags }, { run, platform }) => {
      const text = (name: string): object => (typeof flags[name] === 'string' ? { [name]: flags[name] } : {});
      const { sshd } = await import('./sshd.ts');
      const { toolstackOf } = await import('./local.ts');
      const options = Object.assign(
        {},
        ...['port', 'listen', 'state', 'authorizedKeys', 'hostKey'].map(text),
      ) as object;
      return await sshd({ run, userKeys: flags.userKeys !== false, ...options }, toolstackOf(run, platform));
    },
  },
];

/** A toolstack is looked for, a terminal taken and signals are heard only by who drives one. */
export async function inSession(
  { run, platform }: Shell,
  act: (session: LocalSession) => Promise<number>,
): Promise<number> {
  const { LocalSession, toolstackOf } = await import('./local.ts');
  const session = new LocalSession(() => toolstackOf(run, platform));
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}
