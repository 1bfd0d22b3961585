/**
 * Something that cannot be was: a mistake of ours, which costs the interface in whose service it showed, as a line for its error node.
 */
export function mistake(error: unknown): string {
  return `internal error: ${error instanceof Error ? error.message : String(error)}`;
}
