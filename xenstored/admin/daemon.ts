/**
 * Which daemon is behind, by what it says of its control commands. Knows no version.
 */
import type { Store } from './store.ts';

export type Daemon = 'stubdom0' | 'xenstored' | 'oxenstored' | 'unknown';

/** Never throws. A daemon may be exchanged at run time, so nothing is remembered. */
export async function daemonOf(store: Store): Promise<Daemon> {
  try {
    const help = await store.control('help', []);
    if (/^transactions\b/m.test(help)) return 'stubdom0';
    return /^memreport\b/m.test(help) ? 'xenstored' : 'oxenstored';
  } catch (error) {
    return (error as { code?: unknown }).code === 'EINVAL' ? 'oxenstored' : 'unknown';
  }
}
