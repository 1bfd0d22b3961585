/** Lets modules that are imported later find another module under the name of `vitest` (node:module's hooks, which run in a thread of their own). */
import { register } from 'node:module';

export function vitestIs(url: string): void {
  register(import.meta.url, { data: url });
}

let instead = '';

/** In the thread of the hooks. */
export function initialize(url: string): void {
  instead = url;
}

export async function resolve<Context, Resolved>(
  specifier: string,
  context: Context,
  next: (specifier: string, context: Context) => Promise<Resolved>,
): Promise<Resolved> {
  return next(specifier === 'vitest' ? instead : specifier, context);
}
