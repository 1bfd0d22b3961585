/**
 * xensock's other commands: they ask the one that runs, over its control socket, and print what it says. Know no policy and no socket but as what is
 * printed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { DecisionRecord } from './decisions.ts';
import { type Listed, table } from './list.ts';

/** For `--help` of the service. */
export const queryHelp: string = `
commands that ask the xensock that runs:
  xensock list [--json]         its sockets
  xensock decisions [--json]    what its policy said of late
  xensock policy [FILE]         its policy; with FILE: this one holds from now on, until there is another one or it ends
`;

const usage = 'usage: xensock list|decisions|policy [FILE] [--json] [--run DIR]';

/** Whether a command line is one of these. */
export function isQuery(args: readonly string[]): boolean {
  return ['list', 'decisions', 'policy'].includes(args[0] ?? '');
}

/** Writes to `out`. Rejects with an Error of one line. */
export async function runQuery(args: readonly string[], out: (text: string) => void): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { json: { type: 'boolean' }, run: { type: 'string' }, help: { type: 'boolean' } },
  });
  const [command, file, ...more] = positionals;
  if (values.help) {
    out(`${usage}\n${queryHelp}`);
    return;
  }
  if (more.length > 0 || (file !== undefined && command !== 'policy')) throw new Error(usage);
  const run = values.run ?? process.env.STUBDOM0_RUN ?? '/run/stubdom0';
  const controls = controlsOf(join(run, 'xensock'));
  if (command === 'policy') {
    const policies = await askAll(controls, '/policy', file && readJson(file));
    if (file === undefined) for (const policy of policies) out(pretty(policy));
  } else if (command === 'list') {
    const sockets = (await askAll(controls, '/sockets')).flat() as readonly Listed[];
    out(values.json ? pretty(sockets) : table(sockets));
  } else {
    const decisions = (await askAll(controls, '/decisions')).flat() as readonly DecisionRecord[];
    out(values.json ? pretty(decisions) : decisions.map(decisionLine).join(''));
  }
}

/** Each domain that serves on this host has its own. */
function controlsOf(directory: string): readonly string[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync(directory).filter((name) => /^control-\d+$/.test(name));
  } catch {
    // There never was one.
  }
  if (names.length === 0) throw new Error(`no xensock runs in ${directory}`);
  return names.map((name) => join(directory, name));
}

/** What those say that run: one that was killed leaves its control socket, and is no reason not to hear the others. */
async function askAll(controls: readonly string[], path: string, body?: string): Promise<readonly unknown[]> {
  const answers: unknown[] = [];
  for (const control of controls) {
    const answer = await ask(control, path, body);
    if (answer !== undefined) answers.push(answer);
  }
  if (answers.length === 0) throw new Error(`${controls.join(', ')}: no xensock answers there`);
  return answers;
}

/** Its text. Throws an Error of one line: there is none, or it is no JSON. */
function readJson(file: string): string {
  const text = readFileSync(file, 'utf8');
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  }
  return text;
}

function decisionLine({ time, domid, direction, address, allowed, reason, places }: DecisionRecord): string {
  const where = places.length === 0 ? '' : ` -> ${places.join(', ')}`;
  return `${time} ${domid} ${direction} ${address}${where} ${allowed ? 'allowed' : 'refused'}: ${reason}\n`;
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** GET, or with a body PUT. undefined: nobody is there any more. */
function ask(socketPath: string, path: string, body?: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'PUT';
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(undefined);
      else reject(new Error(`${socketPath}: ${error.message}`));
    };
    const asking = request({ socketPath, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('error', failed);
      response.once('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(refusal(text)));
      });
    });
    asking.once('error', failed);
    asking.end(body);
  });
}

function refusal(text: string): string {
  const { error, message } = JSON.parse(text) as { readonly error?: string; readonly message?: string };
  return message ?? error ?? text;
}
