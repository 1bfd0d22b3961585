/**
 * A stranger's device: one granted page and one port. One frontend is written without any of our runners, as by somebody who knows Xen and the
 * kit's guest alone; the other, and the backend, know no store.
 */

import type { SharedPages } from '../../osdep/gntshr.ts';
import type { Mapping } from '../../osdep/mapping.ts';
import type { Actor, BackendService, FrontendDriver } from '../kit/index.ts';

/** Settles when the device was closed. */
export async function toyFrontend({ platform, store }: Actor, path: string = 'device/toy/0'): Promise<void> {
  for await (const _ of store.watch(path)) if (await store.exists(`${path}/backend`)) break;
  const page = platform.openGntshr().sharePages(0, 1, 'rw');
  const evtchn = platform.openEvtchn();
  const port = evtchn.bindUnboundPort(0);
  await store.transaction(async (tx) => {
    await tx.write(`${path}/ring-ref`, `${page.refs[0]}`);
    await tx.write(`${path}/event-channel`, `${port}`);
    await tx.write(`${path}/state`, '3');
  });
  const back = await store.readText(`${path}/backend`);
  for await (const _ of store.watch(`${back}/state`)) {
    // A node that is gone may not be read.
    const state = await store.findText(`${back}/state`).catch(() => undefined);
    if (state === '4') await store.write(`${path}/state`, '4');
    if (state === '5' || state === undefined) break;
  }
  page.unmap();
  evtchn.close();
  if (await store.exists(`${path}/state`)) await store.write(`${path}/state`, '6');
}

interface Keys {
  readonly ref: number;
  readonly port: number;
}

export function toyBackend({ platform }: Actor): BackendService<Keys> {
  const gnttab = platform.openGnttab();
  const evtchn = platform.openEvtchn();
  return {
    kind: 'toy',
    hotplug: 'self',
    open: async ({ device: { frontendDomid } }) => {
      let page: Mapping | undefined;
      let own = 0;
      return {
        features: {},
        *readFront() {
          const ref = Number(yield 'ring-ref');
          return { ok: true, value: { ref, port: Number(yield 'event-channel') } };
        },
        connect: async ({ ref, port }) => {
          page = gnttab.mapGrantRef(frontendDomid, ref, 'rw');
          own = evtchn.bindInterdomain(frontendDomid, port);
          return {};
        },
        disconnect: async () => {
          page?.unmap();
          evtchn.unbind(own);
        },
        close: () => {},
      };
    },
  };
}

export function toyDriver({ platform }: Actor): FrontendDriver {
  const gntshr = platform.openGntshr();
  const evtchn = platform.openEvtchn();
  return {
    kind: 'toy',
    published: 3,
    open({ backendDomid }) {
      let shared: { readonly page: SharedPages; readonly port: number } | undefined;
      return {
        async share() {
          const page = gntshr.sharePages(backendDomid, 1, 'rw');
          shared = { page, port: evtchn.bindUnboundPort(backendDomid) };
          return { 'ring-ref': `${page.refs[0]}`, 'event-channel': `${shared.port}` };
        },
        activate: async () => {},
        quiesce: async () => {},
        release() {
          shared?.page.unmap();
          if (shared !== undefined) evtchn.unbind(shared.port);
          shared = undefined;
        },
      };
    },
  };
}
