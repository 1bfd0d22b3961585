/**
 * The image of the store's domain for dom0, built as `npm run stubdom-image` builds it, with a shell on its console.
 */
import { join } from 'node:path';
import { buildStubdom } from '../../../xenstored/stubdom/build.ts';
import { cacheFolder } from '../../../xenstored/stubdom/folders.ts';

/** Fills `folder`/stubdom. */
export async function stageStubdom(folder: string): Promise<void> {
  await buildStubdom({
    out: join(folder, 'stubdom'),
    cache: cacheFolder(process.env),
    words: 'shell',
    say: () => {},
  });
}
