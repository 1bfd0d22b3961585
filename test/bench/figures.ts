/** The little statistics of the bench. */

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** Of what was measured in the same round, side by side: a slow minute of the machine slows both and leaves their ratio. */
export function ratios(of: readonly (number | undefined)[], to: readonly (number | undefined)[]): Spread {
  const pairs = of.flatMap((value, round) => {
    const other = to[round];
    return value === undefined || !other ? [] : [value / other];
  });
  return spread(pairs);
}

/** `1234567` as `1.23M`, `12345` as `12.3k`: three digits are more than the noise leaves. */
export function short(value: number): string {
  if (Number.isNaN(value)) return '-';
  for (const [unit, size] of [
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size) return `${(value / size).toPrecision(3)}${unit}`;
  }
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export function times({ median, low, high }: Spread): string {
  if (Number.isNaN(median)) return '-';
  const digits = (value: number) => (value >= 10 ? value.toFixed(0) : value.toFixed(2));
  return `${digits(median)} (${digits(low)}-${digits(high)})`;
}
