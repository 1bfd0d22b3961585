/**
 * The policy of a host's sockets, as its file has it and as xensock is given it; and where on the machine a guest's port is, by that policy. What else a
 * policy says is not looked at: who serves sockets checks it.
 */

export interface Policy {
  readonly default?: GuestPolicy;
  /** By their names. */
  readonly guests?: Readonly<Record<string, GuestPolicy>>;
}

interface GuestPolicy {
  readonly map?: {
    readonly listen?: Readonly<Record<string, string>>;
  };
}

/** Stands for the port of xenstore-admin, which is known when it has come up. */
const ADMIN = '{admin}';

/** As the backend reads it. */
export function policyText(policy: Policy, { adminPort }: { readonly adminPort: number }): string {
  return `${JSON.stringify(policy, undefined, 2).replaceAll(ADMIN, `${adminPort}`)}\n`;
}

/** What a host file's policy cannot mean there, a line each. `names`: of its guests; `others`: guests come from elsewhere, too. */
export function policyMistakes(
  policy: Policy,
  {
    names,
    admin,
    others,
  }: { readonly names: readonly string[]; readonly admin: boolean; readonly others: boolean },
): string[] {
  // Who is meant by a number is known when the host is up; by a name, now.
  const strangers = Object.keys(policy.guests ?? {}).filter(
    (name) => !others && !isNumber(name) && !names.includes(name),
  );
  return [
    ...names
      .filter(isNumber)
      .map((name) => `a guest is called ${name}, which is a domain's number to a policy`),
    ...strangers.map((name) => `the policy of sockets speaks of ${name}, which is no guest`),
    ...(admin || !JSON.stringify(policy).includes(ADMIN)
      ? []
      : [`the policy of sockets speaks of ${ADMIN}, and the host has no admin`]),
  ];
}

function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}

/** Where this machine reaches what a guest serves at all its addresses, `127.0.0.1:8080`; undefined: the policy does not say. */
export function reachedAt(
  policy: Policy,
  { name, port }: { readonly name: string; readonly port: number },
): string | undefined {
  const listen = (policy.guests?.[name]?.map ?? policy.default?.map)?.listen;
  const place = listen?.[`0.0.0.0:${port}`] ?? listen?.['0.0.0.0'];
  if (place === undefined || /^([^:]+|\[.*\]):\d+$/.test(place)) return place;
  return `${place}:${port}`;
}
