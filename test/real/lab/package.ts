/**
 * The project as its users get it, for scenarios that try just that: packed and installed by npm in `opt/stubdom0`, and beside it, in
 * `debian.cpio`, the scripts by which Debian starts Xen's daemons, with the programs that those call.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inFolder } from '../../../xenstored/stubdom/folders.ts';
import { Tree } from './tree.ts';

const run = promisify(execFile);

/** Fills `folder`, of which dom0 sees all. `built`: where the compiled project is; `top`: the project. */
export async function stagePackage(folder: string, built: string, top: string): Promise<void> {
  await inFolder(`${folder}-package-`, async (scratch) => {
    const { files } = JSON.parse(await readFile(join(top, 'package.json'), 'utf8')) as { files: string[] };
    const others = files.filter((name) => name !== 'dist' && existsSync(join(top, name)));
    await cp(built, join(scratch, 'dist'), { recursive: true });
    for (const name of ['package.json', 'README.md', 'LICENSE', ...others])
      await cp(join(top, name), join(scratch, name), { recursive: true });
    const pack = ['pack', '--ignore-scripts', '--pack-destination', scratch];
    const { stdout } = await run('npm', pack, { cwd: scratch });
    const tarball = join(scratch, stdout.trim().split('\n').at(-1)!);
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
    await run('npm', ['install', '--global', '--prefix', join(folder, 'opt/stubdom0'), ...quiet, tarball]);
  });
  await writeFile(join(folder, 'debian.cpio'), debian().archive());
}

/** Its scripts want dash: a shell that has programs built in calls those instead. */
function debian(): Tree {
  const tree = new Tree();
  for (const program of ['/bin/dash', '/usr/bin/env', '/usr/bin/choom', '/sbin/start-stop-daemon'])
    tree.program(program);
  for (const file of ['/etc/init.d/xen', '/etc/default/xen', '/lib/lsb/init-functions', '/lib/init/vars.sh'])
    tree.file(file);
  tree.copy('/usr/lib/xen-common/bin');
  return tree;
}
