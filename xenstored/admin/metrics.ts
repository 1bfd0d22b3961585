/**
 * Figures for Prometheus, in its text format and with its usual names: of the daemon as far as it tells, of domains' rings and quotas, of backends,
 * and of this process. Asked for at each scrape, at most once a second; with so many domains that nobody would look at them, the first ones.
 * The only importer of prom-client.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Clock } from '../../osdep/clock.ts';
import { countedBy } from './backendfiles.ts';
import type { Fields, Inspect } from './inspect.ts';
import type { Live } from './live.ts';
import type { Store } from './store.ts';

export interface MetricsOptions {
  readonly store: Store;
  readonly inspect: Inspect;
  readonly live: Live;
  readonly clock: Pick<Clock, 'now'>;
  /** Of the host, for what its backends count. */
  readonly run: string | undefined;
}

const FRESH_MS = 1_000;
const DOMAINS_MAX = 200;

/** The daemon's own name of it, ours, and what it is. */
const counters: readonly (readonly [from: string, name: string, help: string])[] = [
  ['requests', 'xenstored_requests_total', 'Requests served.'],
  ['errors', 'xenstored_request_errors_total', 'Requests answered with an error.'],
  ['refusals', 'xenstored_refused_requests_total', 'Requests refused for want of rights or quota.'],
  ['commits', 'xenstored_transaction_commits_total', 'Transactions that changed something.'],
  ['conflicts', 'xenstored_transaction_conflicts_total', 'Transactions that others got in the way of.'],
  ['changes', 'xenstored_changes_total', 'Changes of nodes.'],
  ['events', 'xenstored_watch_events_total', 'Watch events, before identical ones are merged.'],
];

const gauges: readonly (readonly [from: string, name: string, help: string])[] = [
  ['nodes', 'xenstored_nodes', 'Nodes in the store.'],
  ['watches', 'xenstored_watches', 'Watches that are set.'],
  ['transactions', 'xenstored_transactions_open', 'Transactions that are open.'],
  ['domains', 'xenstored_domains', 'Domains that the store knows.'],
  ['unsent', 'xenstored_unsent_bytes', 'Bytes that wait for those who are connected.'],
];

export class Metrics {
  readonly contentType: string;
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  #last: { readonly at: number; readonly text: Promise<string> } | undefined;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.contentType = this.#registry.contentType;
    collectDefaultMetrics({ register: this.#registry });
  }

  /** What a scrape is answered. Never rejects for what the daemon does. */
  text(): Promise<string> {
    const now = this.#options.clock.now();
    if (this.#last === undefined || now - this.#last.at >= FRESH_MS) {
      this.#last = { at: now, text: this.#scrape() };
    }
    return this.#last.text;
  }

  async #scrape(): Promise<string> {
    const { store, inspect, live, run } = this.#options;
    const told = new Registry();
    const daemon = store.connected ? await inspect.daemon() : 'unknown';
    gauge(told, 'xenstored_up', 'Does the daemon answer? 1 or 0.').set(daemon === 'unknown' ? 0 : 1);
    gauge(told, 'xenstored_info', 'Which daemon it is.', ['daemon']).set({ daemon }, 1);
    const [statistics, quotas, rings] = await Promise.all([
      inspect.statistics().catch(() => undefined),
      this.#rows('quotas'),
      this.#rows('rings'),
    ]);
    if (statistics !== undefined) tellStatistics(told, statistics);
    tellQuotas(told, quotas);
    tellRings(told, rings);
    tellAdmin(told, live);
    if (run !== undefined) await tellBackends(told, run);
    return (await told.metrics()) + (await this.#registry.metrics());
  }

  async #rows(part: 'quotas' | 'rings'): Promise<readonly Fields[]> {
    const { store, inspect } = this.#options;
    if (!store.connected) return [];
    return await inspect.listing(part, DOMAINS_MAX).then(
      ({ rows }) => rows,
      () => [],
    );
  }
}

function gauge<L extends string>(
  register: Registry,
  name: string,
  help: string,
  labelNames: L[] = [],
): Gauge<L> {
  return new Gauge({ name, help, labelNames, registers: [register] });
}

function counter<L extends string>(
  register: Registry,
  name: string,
  help: string,
  labelNames: L[] = [],
): Counter<L> {
  return new Counter({ name, help, labelNames, registers: [register] });
}

function tellStatistics(told: Registry, statistics: ReadonlyMap<string, number>): void {
  for (const [from, name, help] of counters) counter(told, name, help).inc(statistics.get(from) ?? 0);
  for (const [from, name, help] of gauges) gauge(told, name, help).set(statistics.get(from) ?? 0);
  const connections = gauge(told, 'xenstored_connections', 'Who is connected.', ['kind']);
  connections.set({ kind: 'socket' }, statistics.get('sockets') ?? 0);
  connections.set({ kind: 'ring' }, statistics.get('rings') ?? 0);
  const uptime = (statistics.get('uptime_ms') ?? 0) / 1000;
  gauge(told, 'xenstored_uptime_seconds', 'Since the daemon began.').set(uptime);
}

function tellQuotas(told: Registry, rows: readonly Fields[]): void {
  if (rows.length === 0) return;
  const labels: ('domid' | 'quota')[] = ['domid', 'quota'];
  const used = gauge(told, 'xenstored_quota_used', 'What a domain uses of a quota.', labels);
  const limit = gauge(told, 'xenstored_quota_limit', 'What it may; absent: no limit.', labels);
  for (const { domid, ...fields } of rows) {
    for (const [quota, value] of Object.entries(fields)) {
      if (typeof value !== 'object') continue;
      used.set({ domid: String(domid), quota }, value.used);
      if (value.limit !== null) limit.set({ domid: String(domid), quota }, value.limit);
    }
  }
}

function tellRings(told: Registry, rows: readonly Fields[]): void {
  if (rows.length === 0) return;
  const requests = gauge(told, 'xenstored_ring_requests_waiting_bytes', 'Unread bytes from a domain.', [
    'domid',
  ]);
  const replies = gauge(told, 'xenstored_ring_replies_waiting_bytes', 'Bytes that a domain has not read.', [
    'domid',
  ]);
  const ignored = gauge(told, 'xenstored_ring_ignored', '1: its ring is left alone for what it did.', [
    'domid',
  ]);
  for (const { domid, status, requests_waiting, replies_waiting } of rows) {
    const label = { domid: String(domid) };
    ignored.set(label, status === 'ignored' ? 1 : 0);
    if (typeof requests_waiting === 'number') requests.set(label, requests_waiting);
    if (typeof replies_waiting === 'number') replies.set(label, replies_waiting);
  }
}

function tellAdmin(told: Registry, live: Live): void {
  const { watches } = live;
  const sum = (what: 'readers' | 'nodes'): number => watches.reduce((all, each) => all + each[what], 0);
  gauge(told, 'xenstore_admin_watches', 'Watches that this service has set.').set(watches.length);
  gauge(told, 'xenstore_admin_streams', 'Readers of events.').set(sum('readers'));
  gauge(told, 'xenstore_admin_mirror_nodes', 'Nodes that this service keeps.').set(sum('nodes'));
}

/** `txPackets` of netback is `netback_tx_packets_total`. */
async function tellBackends(told: Registry, run: string): Promise<void> {
  const known = new Map<string, Counter<'backend' | 'frontend' | 'device'>>();
  for (const { service, path, counters: counted } of await countedBy(run)) {
    const [, backend, kind, frontend, devid] =
      /^\/local\/domain\/(\d+)\/backend\/([\w-]+)\/(\d+)\/(\d+)$/.exec(path) ?? [];
    if (backend === undefined || frontend === undefined) continue;
    for (const [what, value] of Object.entries(counted)) {
      const name = `${service}_${what.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;
      let metric = known.get(name);
      if (metric === undefined) {
        metric = counter(told, name, `${what} of a device, as ${service} counts.`, [
          'backend',
          'frontend',
          'device',
        ]);
        known.set(name, metric);
      }
      metric.inc({ backend, frontend, device: `${kind}/${devid}` }, value);
    }
  }
}
