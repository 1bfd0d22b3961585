/**
 * The daemon as one file: what `xenstored/main.ts` imports, joined, the packages included; beside it stay only the two addons in machine
 * code that packages bring, since no bundler can join those. The one user of rolldown. Knows nothing of where the file will lie.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/** Where an addon lies among the packages, and where the bundle looks for it, beside itself. */
const ADDONS: readonly (readonly [string, string])[] = [
  ['@koromix/koffi-linux-x64/linux_x64/koffi.node', 'node_modules/@koromix/koffi-linux-x64/koffi.node'],
  ['classic-level/prebuilds/linux-x64/classic-level.node', 'classic-level.node'],
];

/** koffi looks its addon up as a package at run time. */
const KOFFI_PACKAGE = 'node_modules/@koromix/koffi-linux-x64/index.js';

export interface BundledFile {
  /** Relative to the bundle's folder. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The compiled program `main` and all it needs besides Node and its shared libraries; the first file is the one to run. */
export async function bundle(main: string): Promise<readonly BundledFile[]> {
  const build = await rolldown({
    input: main,
    platform: 'node',
    logLevel: 'silent',
    plugins: [{ name: 'addons', transform: (code, id) => addonDoor(code, id) }],
  });
  const { output } = await build.generate({ format: 'esm', codeSplitting: false, minify: true });
  await build.close();
  const require = createRequire(main);
  const addons = ADDONS.map(async ([source, path]) => {
    const [, name, rest] = /^((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(source)!;
    return { path, bytes: await readFile(join(require.resolve(`${name}/package.json`), '..', rest!)) };
  });
  return [
    { path: 'xenstored.mjs', bytes: Buffer.from(output[0].code) },
    { path: KOFFI_PACKAGE, bytes: Buffer.from("module.exports = require('./koffi.node');\n") },
    ...(await Promise.all(addons)),
  ];
}

/** classic-level looks for its addon relative to its own folder, which a bundle does not have. */
function addonDoor(code: string, id: string): string {
  if (!id.endsWith('/classic-level/binding.js')) return code;
  return `module.exports = process.getBuiltinModule('node:module').createRequire(process.argv[1])('./classic-level.node')`;
}
