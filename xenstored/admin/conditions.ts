/**
 * If-Match and If-None-Match (RFC 9110, 13.1) as headers or as fields of a body. Knows no node.
 */

/** A header's list, or a body's: `*`, or ETags with or without their quotes. Does it name this one? `undefined` (no node) is never named. */
export function matches(list: string | readonly string[] | undefined, etag: string | undefined): boolean {
  if (list === undefined || etag === undefined) return false;
  return tagsOf(list).some((tag) => tag === '*' || tag === etag);
}

function tagsOf(list: string | readonly string[]): string[] {
  return [list]
    .flat()
    .flatMap((part) => part.split(','))
    .map((tag) => tag.trim().replace(/^(?:W\/)?"(.*)"$/, '$1'));
}
