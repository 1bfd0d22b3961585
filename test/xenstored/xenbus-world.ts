// A small world for the handshake: a store with one device, our backend, a frontend of any make, a toolstack, and faults. Watches are
// delivered late and merged; each job takes a while and may fail; a process may be killed between any two effects. Grants and mappings
// are numbers, so that what is mapped when it is given back, or released twice, is seen. Events for a process's own writes are left out:
// they say what it knows.
import { Backend } from '../../xenstored/xenbus/backend.ts';
import type { BackendEffect, BackendEvent, BackendOptions } from '../../xenstored/xenbus/backend-events.ts';
import { stateName, states, type XenbusState } from '../../xenstored/xenbus/state.ts';
import { backendEdges } from '../../xenstored/xenbus/table.ts';
import type { Move } from './xenbus-explore.ts';
import { type Budget, clean, type Deed, type FrontMake, none, type World } from './xenbus-state.ts';
import { toolstackMoves } from './xenbus-toolstack.ts';

function assert(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** The moves of a world with one make of frontend. */
export class Play<S> {
  readonly #options: BackendOptions;
  readonly #make: FrontMake<S>;

  constructor(options: BackendOptions, make: FrontMake<S>) {
    this.#options = options;
    this.#make = make;
  }

  /** Both ends in a state, neither process started. */
  first(own: XenbusState, front: XenbusState, left: Partial<Budget>): World<S> {
    return {
      own,
      front,
      online: true,
      script: this.#options.hotplug === 'self',
      keys: 0,
      back: undefined,
      guest: undefined,
      guestDead: false,
      frontGone: false,
      mapped: 0,
      reading: 0,
      granted: 0,
      sets: 0,
      dirty: clean,
      toolstack: 'up',
      forced: false,
      backGone: false,
      errors: false,
      left: { ...none, ...left },
    };
  }

  moves(world: World<S>): readonly Move<World<S>>[] {
    return [...this.#backMoves(world), ...this.#guestMoves(world), ...toolstackMoves(world, this.#options)];
  }

  *#backMoves(world: World<S>): Generator<Move<World<S>>> {
    const { back, dirty, own, front, online, left } = world;
    if (back === undefined) {
      // A service finds the directories that are there; of those that it has done with nothing is left to do.
      if (own !== 0 && !(world.backGone && own === 6 && !online))
        yield* this.#acts(world, `backend starts at ${own}, front ${front}`, () => {
          const machine = new Backend<number>(this.#options, {
            own,
            front,
            online,
            hotplugStatus: world.script ? 'connected' : '',
          });
          return [
            machine,
            machine.begin(),
            {
              backGone: false,
              dirty: { ...dirty, own: false, front: false, online: false, script: false },
            },
          ];
        });
      return;
    }
    const event = (name: string, what: BackendEvent<number>, change: Partial<World<S>> = {}) =>
      this.#acts(world, `backend: ${name}`, () => {
        const machine = new Backend<number>(this.#options, back);
        return [machine, machine.step(what), change];
      });
    const seen = (key: keyof typeof dirty): Partial<World<S>> => ({ dirty: { ...dirty, [key]: false } });
    if (dirty.own) yield* event(`own is ${own}`, { kind: 'own', state: own }, seen('own'));
    if (dirty.front) yield* event(`front is ${front}`, { kind: 'front', state: front }, seen('front'));
    if (dirty.online) yield* event(`online is ${online}`, { kind: 'online', online }, seen('online'));
    if (dirty.script) yield* event('script done', { kind: 'hotplug', status: 'connected' }, seen('script'));
    if (dirty.dead) yield* event('the guest is dead', { kind: 'dead' }, seen('dead'));
    const spent = (key: keyof Budget): Budget => ({ ...left, [key]: left[key] - 1 });
    const fails = { kind: 'failed', error: 'no' } as const;
    if (back.job !== 'none' && back.job !== 'disconnect' && left.fail > 0)
      for (const move of event(`${back.job} fails`, fails, { left: spent('fail'), errors: true }))
        yield { ...move, optional: true };
    if (back.rings === 'mapped' && left.break > 0)
      for (const move of event(
        'the ring is broken',
        { kind: 'broken', error: 'ring' },
        { left: spent('break'), errors: true },
      ))
        yield { ...move, optional: true };
    if (back.job === 'prepare') yield* event('prepared', { kind: 'prepared', features: { f: '1' } });
    if (back.job === 'read') {
      if (world.keys === 0) yield* event('no keys', fails);
      else yield* event(`keys ${world.keys}`, { kind: 'keys', keys: world.keys });
    }
    if (back.job === 'connect') {
      const { reading } = world;
      if (world.granted !== reading) yield* event('no such grants', fails, { reading: 0 });
      else {
        yield* event(
          `mapped ${reading}`,
          { kind: 'connected', properties: { p: '1' } },
          { reading: 0, mapped: reading },
        );
      }
    }
    if (back.job === 'disconnect') yield* event('unmapped', { kind: 'disconnected' }, { mapped: 0 });
    if (back.job === 'reconfigure') yield* event('reconfigured', { kind: 'reconfigured' });
    if (left.killBack > 0)
      yield {
        name: 'backend killed',
        optional: true,
        next: () => ({ ...world, back: undefined, mapped: 0, reading: 0, left: spent('killBack') }),
      };
  }

  /** A step of the backend, whole, and killed after each of its effects. */
  *#acts(
    world: World<S>,
    name: string,
    step: () => readonly [Backend<number>, readonly BackendEffect<number>[], Partial<World<S>>],
  ): Generator<Move<World<S>>> {
    const whole = (): World<S> => {
      const [machine, effects, change] = step();
      return this.#effects({ ...world, ...change, back: machine.state }, effects);
    };
    yield { name, next: whole };
    if (world.left.killBack === 0) return;
    const [, effects] = step();
    for (let kept = 1; kept < effects.length; kept++)
      yield {
        name: `${name}, killed after ${kept} effects`,
        optional: true,
        next: () => {
          const [machine, all, change] = step();
          const cut = this.#effects({ ...world, ...change, back: machine.state }, all.slice(0, kept));
          const left = { ...cut.left, killBack: cut.left.killBack - 1 };
          return { ...cut, back: undefined, backGone: false, mapped: 0, reading: 0, left };
        },
      };
  }

  #effects(world: World<S>, effects: readonly BackendEffect<number>[]): World<S> {
    return effects.reduce<World<S>>((now, effect) => this.#effect(now, effect), world);
  }

  #effect(world: World<S>, effect: BackendEffect<number>): World<S> {
    const { own, dirty } = world;
    switch (effect.kind) {
      case 'write': {
        if (own !== effect.from) return { ...world, dirty: { ...dirty, own: true } };
        assert(backendEdges[own].includes(effect.state), `backend goes from ${own} to ${effect.state}`);
        if (effect.state === 4) assert(world.mapped !== 0, 'Connected without rings');
        if (effect.state === 6) assert(world.mapped === 0, 'Closed with rings');
        return { ...world, own: effect.state, dirty: { ...dirty, guestBack: true } };
      }
      case 'connect':
        assert(world.mapped === 0, 'mapped twice');
        assert(effect.keys > 0, 'connected without keys');
        return { ...world, reading: effect.keys };
      case 'disconnect':
        assert(world.mapped !== 0, 'unmapped twice');
        return world;
      case 'look':
        return { ...world, dirty: { ...dirty, front: true } };
      case 'remove':
        assert(world.mapped === 0, 'removed with rings');
        return { ...world, back: undefined, backGone: true };
      default:
        return world;
    }
  }

  *#guestMoves(world: World<S>): Generator<Move<World<S>>> {
    const { guest, dirty, own, front, left } = world;
    if (world.guestDead) return;
    if (guest === undefined) {
      if (front !== 0 && (!world.frontGone || front === 1))
        yield {
          name: `front starts at ${front}, back ${own}`,
          next: () => {
            const seen = {
              ...world,
              frontGone: false,
              dirty: { ...dirty, guestOwn: false, guestBack: false },
            };
            return this.#deeds(seen, this.#make.boot(front, own));
          },
        };
      return;
    }
    if (dirty.guestBack)
      yield {
        name: `front: back is ${own}`,
        next: () =>
          this.#deeds({ ...world, dirty: { ...dirty, guestBack: false } }, this.#make.back(guest, own)),
      };
    if (dirty.guestOwn)
      yield {
        name: `front: own is ${front}`,
        next: () =>
          this.#deeds({ ...world, dirty: { ...dirty, guestOwn: false } }, this.#make.own(guest, front)),
      };
    for (const [name, optional, self, deeds] of this.#make.moves(guest))
      yield { name: `front: ${name}`, optional, next: () => this.#deeds(world, [self, deeds]) };
    if (left.killFront > 0)
      yield {
        name: 'front: kexec',
        optional: true,
        next: () => ({
          ...world,
          guest: undefined,
          granted: 0,
          left: { ...left, killFront: left.killFront - 1 },
        }),
      };
  }

  #deeds(world: World<S>, [self, deeds]: readonly [S, readonly Deed[]]): World<S> {
    let now: World<S> = { ...world, guest: self };
    for (const deed of deeds) {
      switch (deed.kind) {
        case 'write':
          if (now.front === 0 || (deed.from !== undefined && deed.from !== now.front)) {
            now = { ...now, dirty: { ...now.dirty, guestOwn: true } };
            break;
          }
          now = {
            ...now,
            front: deed.state,
            keys: deed.publishes ? now.granted : now.keys,
            dirty: { ...now.dirty, front: true },
          };
          break;
        case 'grant':
          assert(now.granted === 0, 'front grants twice');
          now = { ...now, granted: now.sets + 1, sets: now.sets + 1 };
          break;
        case 'release':
          assert(now.forced || now.granted !== now.mapped, 'front ends grants that are mapped');
          now = { ...now, granted: 0 };
          break;
        case 'look':
          now = { ...now, dirty: { ...now.dirty, guestBack: true } };
          break;
        case 'gone':
          now = { ...now, guest: undefined, frontGone: true };
      }
    }
    return now;
  }
}

/** `4/Connected` and the like, for messages. */
export function pair(world: World<unknown>): string {
  return `${stateName(states[world.own]!)}/${stateName(states[world.front]!)}`;
}
