/**
 * The names of one node's children, in the order in which people look for them: 2 before 10. Knows no node.
 */
const natural = new Intl.Collator('en', { numeric: true }).compare;

export function inOrder(names: readonly string[]): string[] {
  return [...names].sort(natural);
}

/** Puts a name where it belongs, unless it is there. Answers whether it is new. */
export function insert(name: string, sorted: string[]): boolean {
  if (sorted.includes(name)) return false;
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (natural(sorted[middle]!, name) > 0) to = middle;
    else from = middle + 1;
  }
  sorted.splice(from, 0, name);
  return true;
}

/** Whether a list has the names of another, whatever their order. */
export function sameNames(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  const known = new Set(some);
  return others.every((name) => known.has(name));
}
