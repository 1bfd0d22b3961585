#!/usr/bin/env node
/**
 * The generator of the network bench: guests in one process, each with our own driver. Sends one frame over and over from where it is told, counts
 * what comes in, and says how much so far when it is asked. Spawned by net.ts, which speaks to it over Node's channel.
 */
import { type Interface, netfront } from '../../netback/vif/front/driver.ts';
import type { FrameMeta } from '../../netback/vif/front/meta.ts';
import type { PumpControl } from '../../netback/vif/front/pump.ts';
import { simPlatform } from '../../osdep/sim/client.ts';
import { runFrontends } from '../../xenstored/client/frontend.ts';
import { connect } from '../../xenstored/client/index.ts';

/** What net.ts says. */
export type Order =
  | { readonly what: 'send'; readonly guest: number; readonly frame: string; readonly meta: FrameMeta }
  | { readonly what: 'stop'; readonly guest: number }
  | { readonly what: 'count' };

/** What it says itself: once that every guest is connected, then an answer to each `count`. */
export type Word =
  | { readonly what: 'ready'; readonly segments: boolean }
  /** Frames that each guest has had. */
  | { readonly what: 'counts'; readonly received: readonly number[] };

const say = (word: Word): void => void process.send?.(word);

const [run, ...tokens] = process.argv.slice(2);
const pumps: (PumpControl | undefined)[] = [];

async function guest(token: string): Promise<Interface> {
  const platform = simPlatform({ run: run!, token });
  const store = await connect({ platform });
  return await new Promise((resolve) => {
    const onInterface = (nic: Interface): (() => void) => {
      nic.countOnly();
      resolve(nic);
      return () => {};
    };
    void runFrontends(netfront({ platform, onInterface }), { store });
  });
}

const nics = await Promise.all(tokens.map(guest));

process.on('message', (order: Order) => {
  if (order.what === 'count') {
    say({ what: 'counts', received: nics.map(({ counts }) => counts.rxFrames) });
  } else if (order.what === 'stop') {
    pumps[order.guest]?.stop();
  } else {
    const pump = nics[order.guest]!.pump(0, Buffer.from(order.frame, 'base64'), order.meta);
    pumps[order.guest] = pump;
    pump.send(Number.POSITIVE_INFINITY);
  }
});
process.on('disconnect', () => process.exit());
say({ what: 'ready', segments: nics.every(({ offered }) => offered.gsoTcpv4) });
