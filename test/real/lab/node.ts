/**
 * Node and the compiled project for guests: an archive that is unpacked beside their first root. Guests load what is in it straight into
 * their memory, so tests and declarations stay out.
 */
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tree } from './tree.ts';

/** Parts of what is built that a guest's programs may import. */
const BUILT = ['osdep', 'xenstored', 'netback', 'blkback', 'test/real/guest'];
/** The one package that a guest's side needs. */
const PACKAGES = ['koffi', '@koromix/koffi-linux-x64'];
const WANTED = /(\.(js|mjs|cjs|node)|\/package\.json)$/;

/** Fills `folder`/node.cpio. `built`: where the compiled project is; `top`: the project. */
export async function stageNode(folder: string, built: string, top: string): Promise<void> {
  const tree = new Tree();
  tree.program('/usr/bin/node', process.execPath);
  tree.file('/app/package.json', join(top, 'package.json'));
  const copy = (from: string, to: string) => {
    for (const name of readdirSync(from, { recursive: true, encoding: 'utf8' }).sort())
      if (WANTED.test(`/${name}`)) tree.file(join(to, name), join(from, name));
  };
  for (const part of BUILT) copy(join(built, part), join('/app/dist', part));
  for (const name of PACKAGES) copy(join(top, 'node_modules', name), join('/app/node_modules', name));
  await writeFile(join(folder, 'node.cpio'), tree.archive());
}
