/**
 * The kit as its users have it: the package packed, unpacked into an empty folder with its dependencies, and the README's example run there as it stands, by
 * Node's own test runner and by vitest; its types taken by a strict TypeScript.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { typeErrors, unpack } from './packed.ts';

const run = promisify(execFile);
const top = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(top, 'test/kit/README.md'), 'utf8');
/** The first is a toy's frontend. */
const examples = [...readme.matchAll(/```js\n(import assert[\s\S]*?)```/g)].map(([, code]) => code!);
const example = examples[0]!;

let folder: string;
beforeAll(async () => {
  folder = await unpack();
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("the README's examples pass in Node's own test runner", async () => {
  const names = examples.map((_, index) => `example${index}.node.js`);
  for (const [index, name] of names.entries()) writeFileSync(join(folder, name), examples[index]!);
  const args = ['--test', '--test-reporter=tap', ...names];
  const { stdout } = await run(process.execPath, args, { cwd: folder });
  expect(stdout).toMatch(/^# pass 2$/m);
}, 120_000);

it('and in vitest, with their import alone exchanged', async () => {
  for (const [index, code] of examples.entries())
    writeFileSync(join(folder, `example${index}.test.js`), code.replace("from 'node:test'", "from 'vitest'"));
  const vitest = join(folder, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--root', folder, '--testTimeout', '100000'];
  const env = { ...process.env, NO_COLOR: '1' };
  const { stdout } = await run(process.execPath, args, { cwd: folder, env });
  expect(stdout).toMatch(/Tests +2 passed/);
}, 120_000);

it('a test that fails ends with its seed and what happened', async () => {
  const failing = example.replace('assert.deepEqual(host.leftovers(), [])', 'assert.ok(false)');
  writeFileSync(join(folder, 'failing.node.js'), failing);
  const told = await run(process.execPath, ['--test', '--test-reporter=tap', 'failing.node.js'], {
    cwd: folder,
  }).then(
    () => 'it passed',
    ({ stdout }: { readonly stdout: string }) => stdout,
  );
  expect(told).toMatch(/seed \d+: simHost\(\{ seed: \d+ \}\) tells it again/);
  expect(told).toMatch(/guest 1 +writes device\/toy\/0\/state = "6"/);
}, 120_000);

it('it is typed', async () => {
  const source = `
import { type BackendService, type Guest, killEachStep, netback, simHost, XenbusState } from 'stubdom0/testkit';
await using host = await simHost({ seed: 1 });
const guest: Guest = await host.guest();
const device = host.attach({ kind: 'vif', guest, frontend: { handle: '0' } });
const state: XenbusState = host.state(device.back);
export const service: BackendService<{ a: number }> | undefined = undefined;
export const steps: number = await killEachStep({}, async (other, killAt) => other.backend(netback(), { killAt }));
// @ts-expect-error: there is no such option
await simHost({ sed: 1 });
export { state };
`;
  expect(await typeErrors(folder, source)).toBe('');
}, 120_000);

it("the store's web page is in it, whole", () => {
  const packed = join(folder, 'node_modules/stubdom0');
  const modules = readdirSync(join(top, 'xenstored/admin/page')).filter((name) => name.endsWith('.ts'));
  const files = [
    ...readdirSync(join(top, 'xenstored/admin/page/static')).map(
      (name) => `xenstored/admin/page/static/${name}`,
    ),
    ...modules.map((name) => `dist/xenstored/admin/page/${name.replace(/ts$/, 'js')}`),
  ];
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => !existsSync(join(packed, file)))).toEqual([]);
});
