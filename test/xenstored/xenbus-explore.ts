// Every interleaving, once: walks all worlds that moves lead to from a first one. A world is plain data. The walk fails with the moves
// that led there when a move breaks a rule, when a way comes back to where it was (nobody would ever come to rest), or when a world
// from which only faults lead on is not one in which one may rest.

export interface Move<W> {
  readonly name: string;
  /** A fault, or somebody's free decision: a world in which only such moves are left is at rest. */
  readonly optional?: boolean;
  readonly next: () => W;
}

export interface Visit {
  readonly worlds: number;
  readonly rests: number;
}

interface Step<W> {
  readonly key: string;
  readonly moves: readonly Move<W>[];
  at: number;
}

export function explore<W>(
  first: W,
  movesOf: (world: W) => readonly Move<W>[],
  rest: (world: W) => void,
): Visit {
  const open = new Set<string>();
  const done = new Set<string>();
  const path: Step<W>[] = [];
  let rests = 0;
  const story = (): string => path.map(({ moves, at }) => moves[at - 1]?.name ?? '').join('\n  ');
  const enter = (world: W): void => {
    const key = JSON.stringify(world);
    if (done.has(key)) return;
    if (open.has(key)) throw new Error('the world comes back to where it was');
    open.add(key);
    const moves = movesOf(world);
    path.push({ key, moves, at: 0 });
    if (moves.every(({ optional }) => optional === true)) {
      rests++;
      rest(world);
    }
  };
  try {
    enter(first);
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const move = step.moves[step.at++];
      if (move !== undefined) enter(move.next());
      else {
        open.delete(step.key);
        done.add(step.key);
        path.pop();
      }
    }
  } catch (error) {
    throw new Error(`${(error as Error).message}\n  ${story()}`, { cause: error });
  }
  return { worlds: done.size, rests };
}
