// What the web page thinks with, without a browser: events out of a stream in any pieces, typed values, the model of an open tree fed with
// changes in any order, and the story of a device.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StoreModel } from '../../xenstored/admin/page/model.ts';
import { Names } from '../../xenstored/admin/page/names.ts';
import { SseParser } from '../../xenstored/admin/page/sse.ts';
import { story } from '../../xenstored/admin/page/timeline.ts';
import type { StoreNode } from '../../xenstored/admin/page/types.ts';
import { fromBase64, hexDump, parseText, toBase64 } from '../../xenstored/admin/page/value.ts';
import { encodeValue } from '../../xenstored/admin/value.ts';

test('events come out of a stream however it is cut', () => {
  const text =
    ': hello\n\nretry: 1000\nid: e-0\n\nevent: changes\nid: e-1\ndata: {"a":\ndata: 1}\n\nevent: resync\r\ndata: {}\r\n\r\n';
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 })), (cuts) => {
      const parser = new SseParser();
      const events = [];
      let at = 0;
      for (const cut of [...cuts, text.length]) {
        events.push(...parser.feed(text.slice(at, at + cut)));
        at += cut;
      }
      expect(events).toEqual([
        { event: 'changes', data: '{"a":\n1}' },
        { event: 'resync', data: '{}' },
      ]);
      expect(parser.lastId).toBe('e-1');
    }),
  );
});

test('the id of an event without data counts', () => {
  const parser = new SseParser();
  expect(parser.feed('retry: 1000\nid: e-7\n\n')).toEqual([]);
  expect(parser.lastId).toBe('e-7');
});

test('a value typed as it is shown is the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (value) => {
      const shown = encodeValue(value);
      expect(parseText(shown.text)).toEqual(value);
      expect(toBase64(value)).toBe(shown.base64);
      expect(fromBase64(shown.base64)).toEqual(value);
    }),
  );
  expect(() => parseText('abc\\q')).toThrow('character 4');
  expect(parseText('é')).toEqual(Uint8Array.of(0xc3, 0xa9));
  expect(hexDump(Buffer.from('xen\0'))).toBe(`0000  78 65 6e 00${' '.repeat(38)}xen.`);
});

function node(path: string, children: readonly string[] = [], value = ''): StoreNode {
  return { path, value: { text: value, base64: '' }, permissions: [], children };
}

function opened(): StoreModel {
  const model = new StoreModel();
  const nodes = [node('/', ['a', 'b']), node('/a', ['x']), node('/a/x'), node('/b')];
  model.putTree(nodes, 0, (path) => path !== '/b');
  model.open('/');
  model.open('/a');
  return model;
}

const shown = (model: StoreModel): string[] => model.rows().map(({ path, level }) => `${level}${path}`);

test('an open tree shows what is open, siblings in natural order', () => {
  const model = opened();
  expect(shown(model)).toEqual(['1/', '2/a', '3/a/x', '2/b']);
  for (const name of ['10', '9']) model.apply({ path: `/a/${name}`, node: node(`/a/${name}`) }, 1);
  expect(shown(model)).toEqual(['1/', '2/a', '3/a/9', '3/a/10', '3/a/x', '2/b']);
  model.apply({ path: '/a', node: null }, 2);
  expect(shown(model)).toEqual(['1/', '2/b']);
});

test('what the service only read again is no change', () => {
  const model = opened();
  const told = { ...node('/a/x', [], 'same'), etag: 'E' };
  model.put(told, model.version);
  model.doubt();
  expect(model.confirms({ path: '/a/x', node: told })).toBe(true);
  expect(model.get('/a/x')?.stale).toBe(false);
  expect(model.confirms({ path: '/a/x', by: 3, node: told })).toBe(false);
  expect(model.confirms({ path: '/a/x', node: { ...told, etag: 'F' } })).toBe(false);
  expect(model.confirms({ path: '/a/x', node: null })).toBe(false);
  expect(model.confirms({ path: '/a/y', node: told })).toBe(false);
});

test('a parent that a write has made appears, though nobody tells of it', () => {
  const model = opened();
  const entry = model.apply({ path: '/a/new/deep/leaf', by: 3, node: node('/a/new/deep/leaf') }, 5);
  expect(entry).toMatchObject({ path: '/a/new', stale: true, changedAt: 5 });
  expect(shown(model)).toContain('3/a/new');
  // Below what is closed and not loaded only the parent is to be asked again.
  expect(model.apply({ path: '/b/c', node: node('/b/c') }, 6)).toBeUndefined();
  expect(model.get('/b')?.stale).toBe(true);
});

test('a list of children tells of those that came and went', () => {
  const model = opened();
  model.put(node('/a', ['y']), model.version);
  expect(shown(model)).toEqual(['1/', '2/a', '3/a/y', '2/b']);
  expect(model.get('/a/y')?.stale).toBe(true);
  expect(model.get('/a/x')).toBeUndefined();
});

test('a reply that is older than a change does not undo it', () => {
  const model = opened();
  const asked = model.version;
  model.apply({ path: '/a/y/deep', node: node('/a/y/deep') }, 1);
  model.apply({ path: '/a/x', node: node('/a/x', [], 'new') }, 1);
  model.apply({ path: '/b', node: null }, 1);
  model.putTree([node('/', ['a', 'b']), node('/a', ['x']), node('/a/x', [], 'old')], asked, () => true);
  expect(shown(model)).toEqual(['1/', '2/a', '3/a/x', '3/a/y']);
  expect(model.get('/a/x')?.node?.value.text).toBe('new');
  // Asked for again, since nobody knows.
  expect(model.get('/a/x')?.stale).toBe(true);
  model.put(node('/a/x', [], 'newest'), model.version);
  expect(model.get('/a/x')).toMatchObject({ stale: false, node: { value: { text: 'newest' } } });
});

test('whatever order changes come in, the rows are those of the store in the end', () => {
  const names = fc.constantFrom('a', 'b', 'c');
  const steps = fc.array(
    fc.record({ path: fc.array(names, { minLength: 1, maxLength: 3 }), gone: fc.boolean() }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, (list) => {
      const store = new Set<string>(['/']);
      const childrenOf = (path: string): string[] =>
        [...store]
          .filter((other) => other !== '/' && (other.replace(/\/[^/]*$/, '') || '/') === path)
          .map((other) => other.split('/').at(-1)!);
      const model = new StoreModel();
      const settle = (): void => {
        // What is stale is asked for, as the loader does, until nothing is.
        for (let asked = true; asked; ) {
          asked = false;
          for (const { path } of model.rows()) {
            const entry = model.get(path)!;
            if (entry.node !== undefined && !entry.stale && entry.loaded) continue;
            asked = true;
            if (!store.has(path)) model.remove(path);
            else {
              model.put(node(path, childrenOf(path)), model.version);
              model.putTree([node(path, childrenOf(path))], model.version, () => true);
              model.open(path);
            }
            break;
          }
        }
      };
      model.put(node('/', []), 0);
      settle();
      for (const { path, gone } of list) {
        const at = `/${path.join('/')}`;
        if (gone) {
          if (!store.has(at)) continue;
          for (const other of [...store]) if (other === at || other.startsWith(`${at}/`)) store.delete(other);
          model.apply({ path: at, node: null }, 0);
        } else {
          for (let end = 1; end <= path.length; end++) store.add(`/${path.slice(0, end).join('/')}`);
          model.apply({ path: at, node: node(at, childrenOf(at)) }, 0);
        }
        if (path.length % 2 === 0) settle();
      }
      settle();
      expect(new Set(model.rows().map(({ path }) => path))).toEqual(store);
    }),
  );
});

test('what one transaction wrote is told in its order, and thousands of writes in no time', () => {
  const entry = (seq: number, path: string, what: string) => ({
    seq,
    at: seq < 2 ? 10 : 20,
    by: 1,
    path,
    what,
  });
  const traced = [entry(1, '/d/b', 'create'), entry(2, '/d/a', 'create'), entry(3, '/d/b', 'write')];
  expect(story([], traced, () => true).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  const many = Array.from({ length: 4000 }, (_, seq) => ({ seq, at: seq, by: 1, path: '/d', what: 'write' }));
  const seen = many.map(({ at }) => ({ at: at + 5000, change: { path: '/d', node: node('/d') } }));
  const begun = performance.now();
  expect(story(seen, many.slice(1), () => true)).toHaveLength(7999);
  expect(performance.now() - begun).toBeLessThan(1000);
});

test('of a state the trace remembers what nobody saw', () => {
  const state = '/local/domain/1/device/vbd/1/state';
  const traced = [2, 3, 4].map((value) => ({
    seq: value,
    at: value,
    by: 1,
    path: state,
    what: 'write',
    value: `${value}`,
  }));
  const seen = [{ at: 10, change: { path: state, node: node(state, [], '4') } }];
  expect(story(seen, traced, () => true).map(({ value }) => value)).toEqual(['2', '3', '4']);
});

test('domains have the names that the list and later changes give them', () => {
  const names = new Names();
  names.learn([
    { domid: 3, name: 'web' },
    { domid: 4, name: null },
  ]);
  expect([0, 3, 4].map((domid) => names.words(domid))).toEqual([
    'domain 0 (Domain-0)',
    'domain 3 (web)',
    'domain 4',
  ]);
  names.follow({ path: '/local/domain/4/name', node: node('/local/domain/4/name', [], 'db') });
  names.follow({ path: '/local/domain/3', node: null });
  names.follow({ path: '/local/domain/4/name/below', node: null });
  expect([3, 4].map((domid) => names.short(domid))).toEqual(['3 no name', '4 db']);
  names.learn([{ domid: 5, name: 'W'.repeat(3000) }]);
  expect(names.short(5).length).toBeLessThan(60);
});

test('the story of a device: the trace says who and when, reports say what', () => {
  const state = '/local/domain/1/device/vbd/1/state';
  const traced = [
    { seq: 1, at: 100, by: 0, path: state, what: 'create' },
    { seq: 2, at: 110, by: 1, path: state, what: 'write' },
    { seq: 3, at: 900, by: 1, path: state, what: 'write' },
    { seq: 4, at: 905, by: 1, path: '/elsewhere', what: 'write' },
  ];
  const report = (at: number, value: string) => ({
    at,
    change: { path: state, node: node(state, [], value) },
  });
  const told = story([report(150, '3'), report(950, '4')], traced, (path) => path === state);
  expect(told.map(({ at, by, value }) => [at, by, value])).toEqual([
    [100, 0, undefined],
    [110, 1, '3'],
    [900, 1, '4'],
  ]);
  // Answers took so long that entries seem to be later than their reports.
  const late = traced.map((entry) => ({ ...entry, at: entry.at + 100 })).slice(1);
  expect(
    story([report(150, '3'), report(950, '4')], late, (path) => path === state).map(({ value }) => value),
  ).toEqual(['3', '4']);
  const alone = story([report(150, '3')], [], () => true);
  expect(alone).toMatchObject([{ at: 150, by: undefined, value: '3', what: 'write' }]);
});
