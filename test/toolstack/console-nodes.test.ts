/** What libxl writes for a domain's first console (libxl_console.c, libxl_device.c of Xen 4.22), written by us alike. */
import { expect, test } from 'vitest';
import { consoleNodes, consoleTrees, terminalNode } from '../../toolstack/core/console.ts';

const written = consoleNodes({ domid: 5, backendDomid: 3, port: 2, gfn: 0xfeff });
const text = written.map(
  ({ path, value, perms }) => `${path} = "${value}" ${perms?.map((p) => `${p.letter}${p.domid}`).join(' ')}`,
);

test('the nodes of a console, with who may change and who may read each', () => {
  expect(text.sort()).toEqual(
    `/libxl/5/device/console/0 = "" n0
/libxl/5/device/console/0/backend = "/local/domain/3/backend/console/5/0" n0
/libxl/5/device/console/0/frontend = "/local/domain/5/console" n0
/libxl/5/device/console/0/frontend-id = "5" n0
/libxl/5/device/console/0/online = "1" n0
/libxl/5/device/console/0/protocol = "vt100" n0
/libxl/5/device/console/0/state = "1" n0
/local/domain/3/backend/console/5/0 = "" n3 r5
/local/domain/3/backend/console/5/0/frontend = "/local/domain/5/console" n3 r5
/local/domain/3/backend/console/5/0/frontend-id = "5" n3 r5
/local/domain/3/backend/console/5/0/online = "1" n3 r5
/local/domain/3/backend/console/5/0/protocol = "vt100" n3 r5
/local/domain/3/backend/console/5/0/state = "1" n3 r5
/local/domain/5/console = "" n3 r5
/local/domain/5/console/backend = "/local/domain/3/backend/console/5/0" n3 r5
/local/domain/5/console/backend-id = "3" n5 r3
/local/domain/5/console/limit = "1048576" n3 r5
/local/domain/5/console/output = "pty" n3 r5
/local/domain/5/console/port = "2" n3 r5
/local/domain/5/console/ring-ref = "65279" n3 r5
/local/domain/5/console/tty = "" n3 r5
/local/domain/5/console/type = "xenconsoled" n3 r5`.split('\n'),
  );
});

test('each node lies below one of its trees, and after its parent', () => {
  const trees = consoleTrees(5, 3);
  const seen = new Set<string>();
  for (const { path } of written) {
    const parent = path.slice(0, path.lastIndexOf('/'));
    expect(trees.includes(path) || seen.has(parent)).toBe(true);
    seen.add(path);
  }
});

test('which node names a terminal', () => {
  expect(terminalNode(5, 'pv', 0)).toBe('/local/domain/5/console/tty');
  expect(terminalNode(5, 'pv', 2)).toBe('/local/domain/5/device/console/2/tty');
  expect(terminalNode(5, 'serial', 0)).toBe('/local/domain/5/serial/0/tty');
});
