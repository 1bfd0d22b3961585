/**
 * The service's server-sent events as an endless sequence that outlives connections. Knows the stream's form and nothing of other requests.
 */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { components } from './api.ts';

export type AdminEvent =
  | {
      readonly type: 'changes';
      /** To go on from here. */
      readonly id: string;
      readonly changes: readonly AdminChange[];
      /** Milliseconds since the oldest of them. */
      readonly ageMs: number;
    }
  /** Read what matters: now nothing more is missed. The first event always, and again when something may have been missed. */
  | { readonly type: 'resync'; readonly id: string; readonly reason: string };

export interface AdminChange {
  readonly path: string;
  /** Whose doing; left out: unknown. */
  readonly by?: number;
  /** With `nodes`: as it is then, null where it is gone. */
  readonly node?: components['schemas']['Node'] | null;
}

export interface EventsOptions {
  /** Each change with its node. */
  readonly nodes?: boolean;
  /** Go on after this event, of an earlier sequence. */
  readonly lastEventId?: string;
  /** Ends the sequence. */
  readonly signal?: AbortSignal;
}

export interface Service {
  readonly origin: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly ask: typeof globalThis.fetch;
}

/** What the service says when it refuses. */
export class AdminProblem extends Error {
  override readonly name = 'AdminProblem';
  readonly problem: components['schemas']['Problem'];

  constructor(problem: components['schemas']['Problem']) {
    super(`${problem.code}: ${problem.detail}`);
    this.problem = problem;
  }
}

const PAUSES_MS = [100, 200, 500, 1_000, 2_000];

export async function* eventsOf(
  service: Service,
  path: string,
  { nodes = false, lastEventId, signal }: EventsOptions,
): AsyncGenerator<AdminEvent, void, undefined> {
  let last = lastEventId;
  let failures = 0;
  while (!signal?.aborted) {
    try {
      for await (const event of connection(service, { path, nodes, last, signal })) {
        failures = 0;
        if (event.id !== '') last = event.id;
        yield event;
      }
    } catch (error) {
      if (error instanceof AdminProblem && !isPassing(error)) throw error;
      if (error instanceof SyntaxError) throw error;
    }
    await pause(PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)]!, signal);
  }
}

/** The service is there and cannot do it now. */
function isPassing({ problem }: AdminProblem): boolean {
  return problem.status === 429 || problem.status === 503;
}

async function* connection(
  { origin, headers, ask }: Service,
  {
    path,
    nodes,
    last,
    signal,
  }: { path: string; nodes: boolean; last: string | undefined; signal: AbortSignal | undefined },
): AsyncGenerator<AdminEvent> {
  const query = new URLSearchParams({ path, nodes: `${nodes}` });
  const reply = await ask(`${origin}/v1/events?${query}`, {
    headers: {
      ...headers,
      accept: 'text/event-stream',
      ...(last === undefined ? {} : { 'last-event-id': last }),
    },
    signal: signal ?? null,
  });
  if (!reply.ok) throw new AdminProblem(await problemOf(reply));
  if (reply.body === null) return;
  if (last === undefined) yield { type: 'resync', id: '', reason: 'it begins here' };
  const events = reply.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  const reader = events.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const { event, id = '', data } = next.value;
      const body = JSON.parse(data) as { changes?: AdminChange[]; age_ms?: number; reason?: string };
      if (event === 'changes')
        yield { type: event, id, changes: body.changes ?? [], ageMs: body.age_ms ?? 0 };
      if (event === 'resync') yield { type: event, id, reason: body.reason ?? '' };
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Something between us and the service may have answered instead of it. */
async function problemOf(reply: Response): Promise<components['schemas']['Problem']> {
  try {
    return (await reply.json()) as components['schemas']['Problem'];
  } catch {
    const { status, statusText } = reply;
    return { type: 'about:blank', title: statusText, status, code: 'internal', detail: statusText };
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, signal?.aborted ? 0 : ms);
    signal?.addEventListener('abort', end);
  });
}
