/**
 * The little of vitest that the conformance suites use, for machines that have nothing but Node: declares tests, runs them one after the other,
 * compares values. Knows no suite. Same names and meanings as vitest's.
 */
import { inspect } from 'node:util';

type Body = () => void | Promise<void>;

interface Suite {
  readonly path: readonly string[];
  readonly before: Body[];
  readonly after: Body[];
}

interface Test {
  readonly name: string;
  readonly suites: readonly Suite[];
  readonly body: Body;
}

const LIMIT_MS = 30_000;
const tests: Test[] = [];
/** What is done when every test is over. */
const last: Body[] = [];
let suites: readonly Suite[] = [{ path: [], before: [], after: [] }];

const innermost = (): Suite => suites.at(-1)!;

export function describe(name: string, body: () => void): void {
  const outer = suites;
  suites = [...outer, { path: [...innermost().path, name], before: [], after: [] }];
  body();
  suites = outer;
}

export function test(name: string, body: Body): void {
  tests.push({ name: [...innermost().path, name].join(' > '), suites, body });
}

export const it: typeof test = test;

/** With the first test of its suite. */
export function beforeAll(body: Body): void {
  let done: void | Promise<void>;
  let begun = false;
  innermost().before.push(() => {
    if (!begun) {
      begun = true;
      done = body();
    }
    return done;
  });
}

export function afterAll(body: Body): void {
  last.unshift(body);
}

export function beforeEach(body: Body): void {
  innermost().before.push(body);
}

export function afterEach(body: Body): void {
  innermost().after.push(body);
}

/** How many failed; none to run is a failure as well. Prints as the Test Anything Protocol has it. */
export async function run(pattern: RegExp, print: (line: string) => void): Promise<number> {
  const chosen = tests.filter(({ name }) => pattern.test(name));
  let failed = chosen.length === 0 ? 1 : 0;
  print(`1..${chosen.length}`);
  for (const [index, one] of chosen.entries()) {
    const begun = performance.now();
    const error = await outcome(one);
    const took = `# ${Math.round(performance.now() - begun)} ms`;
    print(`${error === undefined ? 'ok' : 'not ok'} ${index + 1} - ${one.name} ${took}`);
    if (error !== undefined) {
      failed += 1;
      print(error.replace(/^/gm, '#   '));
    }
  }
  for (const body of last) {
    await limited(body);
  }
  print(`# ${Math.max(0, chosen.length - failed)} passed, ${failed} failed`);
  return failed;
}

async function outcome({ suites: around, body }: Test): Promise<string | undefined> {
  const steps = [...around.flatMap(({ before }) => before), body];
  const errors: unknown[] = [];
  try {
    for (const step of steps) {
      await limited(step);
    }
  } catch (error) {
    errors.push(error);
  }
  for (const step of around.toReversed().flatMap(({ after }) => after)) {
    await limited(step).catch((error) => errors.push(error));
  }
  const [first] = errors;
  return first === undefined
    ? undefined
    : first instanceof Error
      ? (first.stack ?? first.message)
      : `${first}`;
}

async function limited(body: Body): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  await Promise.race([body(), late]).finally(() => clearTimeout(timer));
}

type Check = (expected?: unknown) => void;
type Matcher = (actual: unknown, expected: unknown) => boolean;

const matchers: Readonly<Record<string, Matcher>> = {
  toBe: Object.is,
  toEqual: (actual, expected) => alike(actual, expected, 'whole'),
  toMatchObject: (actual, expected) => alike(actual, expected, 'part'),
  toContain: (actual, expected) => (actual as unknown[] | string).includes(expected as string),
  toHaveLength: (actual, expected) => (actual as { readonly length: number }).length === expected,
  toBeUndefined: (actual) => actual === undefined,
  toBeInstanceOf: (actual, expected) => actual instanceof (expected as abstract new () => unknown),
  toBeGreaterThan: (actual, expected) => (actual as number) > (expected as number),
  toBeGreaterThanOrEqual: (actual, expected) => (actual as number) >= (expected as number),
  toBeLessThan: (actual, expected) => (actual as number) < (expected as number),
};

type Checks = Record<string, Check>;
type LateChecks = Record<string, (expected?: unknown) => Promise<void>>;

export function expect(
  actual: unknown,
  message = '',
): Checks & { readonly not: Checks; readonly rejects: LateChecks } {
  const checks = (wanted: boolean) =>
    Object.fromEntries(
      Object.entries(matchers).map(([name, matches]): [string, Check] => [
        name,
        (expected) => {
          if (matches(actual, expected) !== wanted) {
            const not = wanted ? '' : 'not ';
            throw new Error(`${message} ${inspect(actual)}: ${not}${name} ${inspect(expected)}`.trim());
          }
        },
      ]),
    );
  return { ...checks(true), not: checks(false), rejects: rejects(actual, message) } as ReturnType<
    typeof expect
  >;
}

function rejects(actual: unknown, message: string): LateChecks {
  const check = async (name: string, expected: unknown): Promise<void> => {
    const outcome = await (actual as Promise<unknown>).then(
      (value) => ({ value }),
      (reason: unknown) => ({ reason }),
    );
    if (!('reason' in outcome)) {
      throw new Error(`${message} resolved to ${inspect(outcome.value)} instead of being rejected`);
    }
    expect(outcome.reason, message)[name]!(expected);
  };
  return {
    toMatchObject: (expected) => check('toMatchObject', expected),
    toThrow: (expected) => check('toBeInstanceOf', expected),
  };
}

/** Deep equality; `part`: objects may have more than is expected. A property that is undefined is none. */
function alike(actual: unknown, expected: unknown, extent: 'whole' | 'part'): boolean {
  if (typeof actual !== 'object' || typeof expected !== 'object' || actual === null || expected === null) {
    return Object.is(actual, expected);
  }
  const [mine, theirs] = [actual as Record<string, unknown>, expected as Record<string, unknown>];
  const names = new Set(Object.keys(theirs));
  if (extent === 'whole' || Array.isArray(expected)) {
    for (const name of Object.keys(mine)) {
      names.add(name);
    }
  }
  return [...names].every((name) => alike(mine[name], theirs[name], extent));
}
