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

function isQuota(value: unknown): value is Quota {
  return typeof value === 'object' && value !== null && 'used' in value && 'limit' in value;
}

/** One for each quota in the row; its other fields are left alone. */
export function quotaBars(row: Row): VNode[] {
  return Object.entries(row).flatMap(([what, quota]) => (isQuota(quota) ? [bar(what, quota)] : []));
}

function bar(what: string, { used, limit, max }: Quota): VNode {
  const name = what.replaceAll('_', ' ');
  const share = limit === null || limit === 0 ? 0 : used / limit;
  const level = share >= 0.95 ? 'full' : share >= 0.75 ? 'high' : 'low';
  const meter = {
    role: 'meter',
    'aria-label': name,
    'aria-valuemin': 0,
    'aria-valuemax': limit ?? undefined,
    'aria-valuenow': used,
  };
  return h(
    'div',
    { class: 'bar-line', key: what },
    h('span', { class: 'bar-name' }, name),
    h(
      'span',
      { class: 'bar-box', ...(limit === null ? {} : meter) },
      limit !== null &&
        h('span', { class: `bar-fill ${level}`, style: { width: `${Math.min(100, share * 100)}%` } }),
    ),
    h(
      'span',
      { class: 'bar-words' },
      `${used} of ${limit === null ? 'any' : limit}${max === undefined ? '' : ` (most ${max})`}`,
    ),
  );
}
