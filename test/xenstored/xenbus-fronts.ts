// Frontends for the handshake's world: ours, and models of how others behave, by what they do in the store (Linux
// drivers/net/xen-netfront.c, drivers/block/xen-blkfront.c, xenbus_probe_frontend.c; the Windows PV drivers' xenvif).
import { Frontend, type FrontendEffect, type FrontendState } from '../../xenstored/xenbus/frontend.ts';
import type { XenbusState } from '../../xenstored/xenbus/state.ts';
import { frontendEdges } from '../../xenstored/xenbus/table.ts';
import type { Deed, FrontMake } from './xenbus-state.ts';

export interface Ours {
  readonly machine: FrontendState;
  readonly closes: number;
  readonly fails: number;
  readonly failed: boolean;
}

/** Our frontend; `closes`: how often its guest may close and open it; `fails`: how often its jobs may fail. */
export function ours(
  published: 3 | 4,
  { closes = 0, fails = 0 }: { readonly closes?: number; readonly fails?: number } = {},
): FrontMake<Ours> {
  const done = (
    self: Ours,
    machine: Frontend,
    effects: readonly FrontendEffect[],
  ): readonly [Ours, Deed[]] => {
    const deeds = effects.flatMap((effect): readonly Deed[] => {
      switch (effect.kind) {
        case 'write':
          if (!frontendEdges[effect.from].includes(effect.state))
            throw new Error(`front goes from ${effect.from} to ${effect.state}`);
          return [
            { kind: 'write', from: effect.from, state: effect.state, publishes: 'ring' in effect.keys },
          ];
        case 'release':
        case 'look':
          return [{ kind: effect.kind }];
        case 'remove':
          return [{ kind: 'gone' }];
        default:
          return [];
      }
    });
    return [{ ...self, machine: machine.state }, deeds];
  };
  const step = (self: Ours, event: Parameters<Frontend['step']>[0]): readonly [Ours, Deed[]] => {
    const machine = new Frontend({ published }, self.machine);
    return done(self, machine, machine.step(event));
  };
  return {
    boot: (own, back) => {
      const machine = new Frontend({ published }, { own, back });
      return done({ machine: machine.state, closes, fails, failed: false }, machine, machine.begin());
    },
    back: (self, back) => step(self, { kind: 'back', state: back }),
    own: (self, own) => step(self, { kind: 'own', state: own }),
    moves: (self) => {
      const { job, wanted } = self.machine;
      const moves: (readonly [string, boolean, Ours, readonly Deed[]])[] = [];
      if (job === 'share') {
        const [next, deeds] = step(self, { kind: 'shared', keys: { ring: '8' } });
        moves.push(['shared', false, next, [{ kind: 'grant' }, ...deeds]]);
      }
      if (job === 'activate') moves.push(['activated', false, ...step(self, { kind: 'activated' })]);
      if (job === 'quiesce') moves.push(['quiesced', false, ...step(self, { kind: 'quiesced' })]);
      if ((job === 'share' || job === 'activate') && self.fails > 0)
        moves.push([
          `${job} fails`,
          true,
          ...step({ ...self, fails: self.fails - 1, failed: true }, { kind: 'failed', error: 'no' }),
        ]);
      if (wanted && self.closes > 0)
        moves.push(['close', true, ...step({ ...self, closes: self.closes - 1 }, { kind: 'close' })]);
      if (!wanted) moves.push(['open', true, ...step(self, { kind: 'open' })]);
      return moves;
    },
  };
}

/** A driver by what it remembers: its node, whether rings are granted, and what it is waiting for. */
export interface Driver {
  readonly own: XenbusState;
  readonly shared: boolean;
  readonly doing:
    | 'probe'
    | 'reset5'
    | 'reset6'
    | 'reset2'
    | 'unload5'
    | 'unload6'
    | 'unloaded'
    | 'idle'
    | 'ignored';
  readonly unloads: number;
}

type Turn = readonly [Driver, readonly Deed[]];

function write(self: Driver, state: XenbusState, publishes = false): Turn {
  return [{ ...self, own: state }, [{ kind: 'write', state, publishes }]];
}

function share(self: Driver, state: XenbusState): Turn {
  const [next, deeds] = write({ ...self, shared: true, doing: 'idle' }, state, true);
  return [next, self.shared ? deeds : [{ kind: 'grant' }, ...deeds]];
}

function free([self, deeds]: Turn): Turn {
  return self.shared ? [{ ...self, shared: false }, [...deeds, { kind: 'release' }]] : [self, deeds];
}

/** A bus drops a device whose directory is gone, and finds a new one of its name (which Linux misses when both happen at once). */
function bus<S extends Driver>(self: S, own: XenbusState): readonly [S, readonly Deed[]] {
  if (own !== 0 && (own !== 1 || self.own === 1)) return [self, []];
  return [self, [...(self.shared ? [{ kind: 'release' } as const] : []), { kind: 'gone' }]];
}

/** Linux at boot: a node left at Connected or Closed by another kernel is led back to 1; what is neither new nor that is ignored. */
function linuxBoot(own: XenbusState, back: XenbusState, unloads: number): Turn {
  const self: Driver = { own, shared: false, doing: 'probe', unloads };
  if (own === 1) return [self, []];
  if (own !== 4 && own !== 6) return [{ ...self, doing: 'ignored' }, []];
  return linuxReset({ ...self, doing: own === 4 && back === 4 ? 'reset5' : 'reset6' }, back, true);
}

function linuxReset(self: Driver, back: XenbusState, begins: boolean): Turn {
  if (self.doing === 'reset5') {
    if (begins) return write(self, 5);
    if (back !== 5 && back !== 6) return [self, []];
    return write({ ...self, doing: 'reset6' }, 6);
  }
  if (self.doing === 'reset2') return [back === 2 ? { ...self, doing: 'probe' } : self, []];
  if (back === 6) return write({ ...self, doing: 'reset2' }, 1);
  return self.own === 6 ? [self, []] : write(self, 6);
}

/** Unloading a driver: 5 until the backend answers, 6 until it answers, then the grants end. */
function unload(self: Driver, back: XenbusState): Turn {
  if (self.doing === 'unload5')
    return back === 0 || back >= 5 ? write({ ...self, doing: 'unload6' }, 6) : [self, []];
  return back === 0 || back === 6 ? free([{ ...self, doing: 'unloaded' }, []]) : [self, []];
}

function linux(
  react: (self: Driver, back: XenbusState) => Turn,
  unloads: number,
): FrontMake<Driver & { back: XenbusState }> {
  type Self = Driver & { back: XenbusState };
  const step = (self: Driver, back: XenbusState): Turn => {
    if (self.doing === 'ignored' || self.doing === 'unloaded') return [self, []];
    if (self.doing.startsWith('unload')) return unload(self, back);
    return self.doing.startsWith('reset') ? linuxReset(self, back, false) : react(self, back);
  };
  const turn = (self: Self, back: XenbusState): readonly [Self, readonly Deed[]] => {
    const [next, deeds] = step(self, back);
    // Once a reset is done the driver is bound.
    const [last, more] = next.doing === 'probe' && self.doing === 'reset2' ? step(next, back) : [next, []];
    return [{ ...last, back }, [...deeds, ...more]];
  };
  /** The core reads the other end's state once when it binds a driver to a device. */
  const settled = ([self, deeds]: readonly [Self, readonly Deed[]]): readonly [Self, readonly Deed[]] => {
    const [next, more] = turn(self, self.back);
    return [next, [...deeds, ...more]];
  };
  return {
    boot: (own, back) => {
      const [self, deeds] = linuxBoot(own, back, unloads);
      return settled([{ ...self, back }, deeds]);
    },
    back: turn,
    own: bus,
    moves: (self) =>
      self.unloads > 0 && (self.own === 3 || self.own === 4) && self.doing === 'idle'
        ? [
            [
              'unload',
              true,
              ...settled(
                ((): readonly [Self, readonly Deed[]] => {
                  const [next, deeds] = write({ ...self, doing: 'unload5', unloads: self.unloads - 1 }, 5);
                  return [{ ...next, back: self.back }, deeds];
                })(),
              ),
            ],
          ]
        : [],
  };
}

/** netfront: straight from 1 to 4, and straight to 6 when the backend closes. */
export function netfront(unloads = 0): FrontMake<Driver & { back: XenbusState }> {
  return linux((self, back) => {
    if (back === 2 && self.own === 1) return share(self, 4);
    if ((back === 5 || back === 6) && self.own !== 6) return write(self, 6);
    return self.own === 6 && back === 6 ? free([self, []]) : [self, []];
  }, unloads);
}

/** blkfront: 3, then 4; `busy`: the disk is mounted, so that it stays at 5 and goes on using the ring until somebody unmounts it. */
export function blkfront({
  unloads = 0,
  busy = false,
}: {
  readonly unloads?: number;
  readonly busy?: boolean;
} = {}): FrontMake<Driver & { back: XenbusState }> {
  const driver = linux((self, back) => {
    if (back === 2 && self.own === 1) return share(self, 3);
    if (back === 4 && self.own < 3) return share(self, 3);
    if (back === 4 && self.own === 3) return write(self, 4);
    if ((back === 5 || back === 6) && self.own < 5) return write(self, busy && self.own === 4 ? 5 : 6);
    return self.own === 6 && back === 6 ? free([self, []]) : [self, []];
  }, unloads);
  return {
    ...driver,
    moves: (self) => [
      ...driver.moves(self),
      ...(busy && self.own === 5 && self.doing === 'idle'
        ? [
            [
              'last user closes',
              true,
              { ...self, own: 6 },
              [{ kind: 'write', state: 6, publishes: false }],
            ] as const,
          ]
        : []),
    ],
  };
}

/** The Windows drivers close before they connect, whatever they find, and wait for each answer. */
export const windows: FrontMake<Driver> = {
  boot: (own, back) => {
    let [self, deeds] = write({ own, shared: false, doing: 'reset5', unloads: 0 }, 5);
    for (
      let [next, more] = windows.back(self, back);
      more.length > 0;
      [next, more] = windows.back(self, back)
    )
      [self, deeds] = [next, [...deeds, ...more]];
    return [self, deeds];
  },
  back: (self, back) => {
    if (self.doing === 'reset5')
      return back === 0 || back >= 5 ? write({ ...self, doing: 'reset6' }, 6) : [self, []];
    if (self.doing === 'reset6')
      return back === 0 || back === 6 ? write({ ...self, doing: 'probe' }, 1) : [self, []];
    if (self.doing === 'probe') return back === 2 ? share(self, 4) : [self, []];
    if (self.own === 4 && (back === 5 || back === 6)) return write(self, 6);
    return self.own === 6 && back === 6 ? free([self, []]) : [self, []];
  },
  own: bus,
  moves: () => [],
};

/** A guest that writes what it likes, `writes` times, with and without new keys. */
export function anything(writes: number, values: readonly XenbusState[]): FrontMake<number> {
  return {
    boot: () => [writes, [{ kind: 'grant' }]],
    back: (self) => [self, []],
    own: (self) => [self, []],
    moves: (self) =>
      self === 0
        ? []
        : values.map(
            (state) =>
              [`writes ${state}`, true, self - 1, [{ kind: 'write', state, publishes: true }]] as const,
          ),
  };
}
