/**
 * Quotas as bars: what is used of what is allowed. Draws what it is given.
 */
import { h, type VNode } from './dom.ts';
import type { Row } from './types.ts';

interface Quota {
  readonly used: number;
  /** null: none. */
  readonly limit: number | null;
  /** The most that was ever used. */
  readonly max?: number;
}

/** Of those with a limit that were ever used, the fullest first. */
function limited(row: Row): [string, Quota & { readonly limit: number }][] {
  return Object.entries(row)
    .filter(
      (entry): entry is [string, Quota & { readonly limit: number }] =>
        isQuota(entry[1]) && entry[1].limit !== null && (entry[1].used > 0 || (entry[1].max ?? 0) > 0),
    )
    .sort(([, a], [, b]) => share(b) - share(a));
}

function isQuota(value: unknown): value is Quota {
  return typeof value === 'object' && value !== null && 'used' in value && 'limit' in value;
}

function share({ used, limit }: Quota): number {
  return limit === null || limit === 0 ? 0 : used / limit;
}

/** How near a domain is to any of its limits: 0 to 1. */
export function fullness(row: Row): number {
  return Math.max(0, ...limited(row).map(([, quota]) => share(quota)));
}

/** At most so many bars; none: the domain has no limits, or has used nothing. */
export function quotaBars(row: Row, most: number): VNode[] {
  return limited(row)
    .slice(0, most)
    .map(([what, quota]) => bar(what, quota));
}

function bar(what: string, quota: Quota & { readonly limit: number }): VNode {
  const { used, limit, max } = quota;
  const part = share(quota);
  const level = part >= 0.95 ? 'full' : part >= 0.75 ? 'high' : 'low';
  const name = what.replaceAll('_', ' ');
  return h(
    'div',
    { class: 'bar-line', key: what },
    h('span', { class: 'bar-name' }, name),
    h(
      'span',
      {
        class: 'bar-box',
        role: 'meter',
        'aria-label': name,
        'aria-valuemin': 0,
        'aria-valuemax': limit,
        'aria-valuenow': used,
      },
      used > 0 &&
        h('span', { class: `bar-fill ${level}`, style: { width: `${Math.min(100, part * 100)}%` } }),
    ),
    h(
      'span',
      { class: 'bar-words' },
      `${figure(used)} of ${figure(limit)}${max === undefined || max === used ? '' : `, once ${figure(max)}`}`,
    ),
  );
}

/** Large ones are read more easily with their thousands as k and millions as M. */
function figure(count: number): string {
  if (count < 10_000) return String(count);
  return count < 1_000_000 ? `${Math.round(count / 1000)} k` : `${(count / 1_000_000).toFixed(1)} M`;
}
