/**
 * Requests in a reader's words, for the timeline: hypercalls with their answers, messages to the store. What would be a line too many has none.
 */
import type { Args, OpName } from '../../osdep/sim/world.ts';
import { strings } from '../../xenstored/wire/request.ts';

type Words = { readonly [K in OpName]?: (args: Args<K>, value: Record<string, unknown>) => string };

const hypercalls: Words = {
  evtchnBindUnbound: ({ domid }, { port }) => `offers port ${port} to domain ${domid}`,
  evtchnBindInterdomain: ({ domid, port: remote }, { port }) =>
    `binds port ${port} to port ${remote} of domain ${domid}`,
  evtchnBindVirq: ({ virq }, { port }) => `binds port ${port} to virq ${virq}`,
  evtchnBind: ({ port }) => `takes port ${port}`,
  evtchnUnbind: ({ port }) => `closes port ${port}`,
  evtchnNotify: ({ port }) => `rings port ${port}`,
  gntdevMap: ({ refs, writable }, { map }) =>
    `maps gref ${ranges(refs.map(({ ref }) => ref))} of domain ${refs[0]?.domid}${
      writable ? '' : ' to read'
    } as map ${map}`,
  gntallocShare: ({ domid, peerWritable }, { refs, map }) =>
    `grants gref ${ranges(refs as number[])} to domain ${domid}${
      peerWritable ? '' : ' to read'
    } as map ${map}`,
  unmap: ({ map }) => `gives map ${map} back`,
  gntdevCopy: ({ ops }) => `copies ${ops.length} pieces`,
};

/** No line, and no step: what only looks or goes with something else. */
const silent: ReadonlySet<OpName> = new Set<OpName>(['evtchnUnmask', 'evtchnOpen', 'evtchnClose']);

/** Whether a request is worth a line. */
export function worthTelling(op: OpName): boolean {
  return !silent.has(op);
}

/** What was asked and answered. */
export function hypercallWords(op: OpName, args: unknown, value: unknown): string {
  const words = hypercalls[op] as ((args: unknown, value: unknown) => string) | undefined;
  return words?.(args, value) ?? `${op} ${plain(args)} -> ${plain(value)}`;
}

/** What was asked in vain. */
export function refusalWords(op: OpName, args: unknown, code: string): string {
  return `${op} ${plain(args)}: ${code}`;
}

/** `8, 10-12` */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
}

function plain(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array ? `${part.length} bytes` : part,
  );
}

/** A request that may change something; `undefined`: it only reads. `payload` is latin1. */
export function storeWords(type: string | undefined, txId: number, payload: string): string | undefined {
  const [path = '', second = ''] = payload.split('\0');
  const within = txId === 0 ? '' : ` (tx ${txId})`;
  switch (type) {
    case 'WRITE':
      return `writes ${path} = ${printable(payload.slice(path.length + 1))}${within}`;
    case 'MKDIR':
      return `makes ${path}${within}`;
    case 'RM':
      return `removes ${path}${within}`;
    case 'SET_PERMS':
      return `sets ${path} to ${strings(payload).slice(1).join(' ')}${within}`;
    case 'WATCH':
      return `watches ${path} as ${ownToken(second)}`;
    case 'UNWATCH':
      return `watches ${path} no more`;
    case 'TRANSACTION_END':
      return `${path === 'T' ? 'commits' : 'aborts'} tx ${txId}`;
    case 'INTRODUCE':
      return `introduces domain ${path}`;
    case 'RELEASE':
      return `releases domain ${path}`;
    case 'RESUME':
    case 'SET_TARGET':
    case 'RESET_WATCHES':
    case 'CONTROL':
      return `asks for ${type} ${printable(payload)}`;
    default:
      return undefined;
  }
}

/** What a watch told. */
export function eventWords(payload: string): string {
  const [path = '', token = ''] = payload.split('\0');
  return `hears of ${path} (${ownToken(token)})`;
}

/** Where processes share a connection, a token carries its owner's number. */
function ownToken(token: string): string {
  return token.replace(/^m\d+:/, '');
}

function printable(text: string): string {
  const shown = text.replace(/[^ -~]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return shown.length > 200 ? `${shown.slice(0, 200)}... (${text.length} bytes)` : `"${shown}"`;
}
