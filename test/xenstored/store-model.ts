/**
 * The store as a page of plain code: maps that a transaction copies whole at its start, and for each answer a note of what it depended on. Slow, and
 * too simple to be wrong in the same way as the real one. For a privileged client; no watches, no quotas.
 */

interface ModelNode {
  value: string;
  perms: string;
  readonly id: number;
  valueAt: number;
  permsAt: number;
  childrenAt: number;
}

type Tree = Map<string, ModelNode>;
type Part = 'value' | 'perms' | 'children' | 'written';

const parent = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';
const below = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`);

/** A tree being changed, directly or in a transaction. Children are in order of creation because a Map's keys are. */
class Branch {
  readonly tree: Tree;
  readonly #clock: () => number;
  readonly depends: Map<string, Set<Part>> = new Map();

  constructor(tree: Tree, clock: () => number) {
    this.tree = tree;
    this.#clock = clock;
  }

  note(path: string, ...parts: Part[]): ModelNode | undefined {
    const known = this.depends.get(path) ?? new Set<Part>();
    for (const part of parts) known.add(part);
    this.depends.set(path, known);
    return this.tree.get(path);
  }

  children(path: string): string[] {
    return [...this.tree.keys()].filter((each) => each !== '/' && parent(each) === path);
  }

  write(path: string, value: string | undefined): string {
    const node = this.note(path);
    if (node && value !== undefined) {
      this.note(path, 'written');
      node.value = value;
      node.valueAt = this.#clock();
    }
    if (!node) this.#create(path, value ?? '');
    return 'OK|';
  }

  #create(path: string, value: string): void {
    const missing = [path];
    let above = parent(path);
    for (; !this.note(above, 'perms'); above = parent(above)) missing.unshift(above);
    const { perms } = this.tree.get(above)!;
    for (const each of missing) {
      this.note(each, 'written');
      const now = this.#clock();
      const node = {
        value: each === path ? value : '',
        perms,
        id: now,
        valueAt: now,
        permsAt: now,
        childrenAt: now,
      };
      this.tree.set(each, node);
      this.tree.get(parent(each))!.childrenAt = now;
    }
  }

  remove(path: string): string {
    if (!this.note(path)) return this.note(parent(path)) ? 'OK|' : '!ENOENT';
    for (const each of [...this.tree.keys()]) {
      if (!below(each, path)) continue;
      this.note(each, 'written', 'children');
      this.tree.delete(each);
    }
    this.note(parent(path));
    this.tree.get(parent(path))!.childrenAt = this.#clock();
    return 'OK|';
  }

  setPerms(path: string, perms: string): string {
    const node = this.note(path);
    if (!node) return '!ENOENT';
    this.note(path, 'written');
    node.perms = perms;
    node.permsAt = this.#clock();
    return 'OK|';
  }

  ask(op: string, path: string, extra: string): string {
    switch (op) {
      case 'READ':
        return this.note(path, 'value')?.value ?? '!ENOENT';
      case 'GET_PERMS':
        return this.note(path, 'perms')?.perms ?? '!ENOENT';
      case 'DIRECTORY':
        if (!this.note(path, 'children')) return '!ENOENT';
        return this.children(path)
          .map((each) => `${each.slice(each.lastIndexOf('/') + 1)}|`)
          .join('');
      case 'WRITE':
        return this.write(path, extra);
      case 'MKDIR':
        return this.write(path, undefined);
      case 'RM':
        return this.remove(path);
      default:
        return this.setPerms(path, extra);
    }
  }
}

/** Is nothing different in the end? What was made and removed again leaves no trace. */
function sameNodes(a: Tree, b: Tree): boolean {
  const stamps = (tree: Tree) =>
    [...tree].map(([path, node]) => [path, node.id, node.valueAt, node.permsAt].join(' '));
  return stamps(a).sort().join() === stamps(b).sort().join();
}

export class StoreModel {
  #now = 1;
  readonly #clock = (): number => ++this.#now;
  #live: Tree = new Map([['/', { value: '', perms: 'n0|', id: 1, valueAt: 1, permsAt: 1, childrenAt: 1 }]]);
  readonly #open = new Map<number, { branch: Branch; base: Tree; log: [string, string, string][] }>();

  begin(id: number): void {
    const copy = (): Tree => new Map([...this.#live].map(([path, node]) => [path, { ...node }]));
    this.#open.set(id, { branch: new Branch(copy(), this.#clock), base: copy(), log: [] });
  }

  ask(op: string, path: string, extra: string, id: number): string {
    const transaction = this.#open.get(id);
    if (!transaction) return new Branch(this.#live, this.#clock).ask(op, path, extra);
    transaction.log.push([op, path, extra]);
    return transaction.branch.ask(op, path, extra);
  }

  end(id: number, commit: boolean): string {
    const { branch, base, log } = this.#open.get(id)!;
    this.#open.delete(id);
    if (!commit) return 'OK|';
    if (sameNodes(branch.tree, base)) return 'OK|';
    for (const [path, parts] of branch.depends) if (this.#changed(path, parts, base)) return '!EAGAIN';
    const live = new Branch(this.#live, this.#clock);
    for (const [op, path, extra] of log) live.ask(op, path, extra);
    return 'OK|';
  }

  #changed(path: string, parts: Set<Part>, base: Tree): boolean {
    const then = base.get(path);
    const now = this.#live.get(path);
    if (then?.id !== now?.id) return true;
    if (!then || !now) return false;
    const written = parts.has('written');
    return (
      ((written || parts.has('value')) && then.valueAt !== now.valueAt) ||
      ((written || parts.has('perms')) && then.permsAt !== now.permsAt) ||
      (parts.has('children') && then.childrenAt !== now.childrenAt)
    );
  }
}
