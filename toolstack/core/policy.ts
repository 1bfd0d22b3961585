/**
 * The policy of a host's sockets, as its file has it and as xensock is given it: guests by their names become domains by their ids. Knows nothing else of what a
 * policy says; who serves sockets checks it.
 */

export type Policy = Readonly<Record<string, unknown>>;

/** What a policy may refer to. */
export interface PolicyNames {
  readonly guests: ReadonlyMap<string, number>;
  /** The machine's port of xenstore-admin. */
  readonly adminPort: number;
}

export function policyFor(policy: Policy, _: PolicyNames): Policy {
  return policy;
}
