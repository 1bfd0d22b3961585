/**
 * The project as dom0 sees it at /app: a copy of what is built, so that a build during a boot changes nothing there, and the guests' programs,
 * compiled. The packages that it runs on are not copied but shared as they are.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

/** Not wanted in dom0: what only serves building and looking at the project. */
const LEFT_OUT =
  /(^|\/)(bench|\.tsbuildinfo|\.stubdom0-built)(\/|$)|\.(d\.ts|js\.map|test\.js)$|^test\/(sim|toolstack|xenstored)\//;

/** Fills `folder`. `built`: where the compiled project is; `top`: the project. */
export async function stage(folder: string, built: string, top: string): Promise<void> {
  await cp(built, join(folder, 'dist'), {
    recursive: true,
    filter: (path) => !LEFT_OUT.test(relative(built, path)),
  });
  await cp(join(top, 'package.json'), join(folder, 'package.json'));
  const lua = join(top, 'xenstored/io/xenstore.lua');
  if (existsSync(lua)) await cp(lua, join(folder, 'xenstored/io/xenstore.lua'));
  const page = 'xenstored/admin/page/static';
  await cp(join(top, page), join(folder, page), { recursive: true });
  // Where the packages are mounted.
  await mkdir(join(folder, 'node_modules'));
  await guestPrograms(join(top, 'test/real/guest'), join(folder, 'guest'));
}

/** Each C file is a static program of its name. */
async function guestPrograms(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const sources = existsSync(from) ? (await readdir(from)).filter((name) => name.endsWith('.c')) : [];
  for (const source of sources) {
    const args = [
      '-O2',
      '-static',
      '-Wall',
      '-Werror',
      '-o',
      join(to, basename(source, '.c')),
      join(from, source),
    ];
    await promisify(execFile)('gcc', args).catch((error: { stderr?: string; message: string }) => {
      throw new Error(`gcc ${relative(dirname(from), join(from, source))}: ${error.stderr || error.message}`);
    });
  }
}

/** What dom0 is to do. */
export async function writeOrder(out: string, order: unknown): Promise<void> {
  await mkdir(out, { recursive: true });
  await writeFile(join(out, 'order.json'), JSON.stringify(order));
}
