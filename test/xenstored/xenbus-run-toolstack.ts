// The toolstack, as libxl makes, detaches and removes devices in the store.
import { type Client, type Transaction, XenstoreError } from '../../xenstored/client/index.ts';
import { deviceNodes } from '../../xenstored/xenbus/attach.ts';
import { backendPath, type DeviceName, frontendPath, libxlPath } from '../../xenstored/xenbus/path.ts';

export class Toolstack {
  readonly store: Client;

  constructor(store: Client) {
    this.store = store;
  }

  async attach(device: DeviceName, keys: Readonly<Record<string, string>> = {}): Promise<void> {
    const nodes = deviceNodes({ device, backend: keys, frontend: {}, frontendReadOnly: {} });
    await this.#surely(async (tx) => {
      // Done already, but the answer was lost.
      if (await tx.exists(backendPath(device))) return;
      for (const { path, value, perms } of nodes) {
        await tx.write(path, value);
        await tx.setPerms(path, perms as Parameters<typeof tx.setPerms>[1]);
      }
    });
  }

  /** Orders it, waits for 6 and removes the trees. */
  async detach(device: DeviceName): Promise<void> {
    const back = backendPath(device);
    await this.#surely(async (tx) => {
      if (!(await tx.exists(`${back}/state`))) return;
      await tx.write(`${back}/online`, '0');
      if ((await tx.findText(`${back}/state`)) !== '6') await tx.write(`${back}/state`, '5');
    });
    await this.until(`${back}/state`, (state) => state === '6' || state === undefined);
    await this.remove(device);
  }

  async remove(device: DeviceName): Promise<void> {
    await this.#surely(async (tx) => {
      for (const path of [frontendPath(device), backendPath(device), libxlPath(device)])
        if (await tx.exists(path)) await tx.rm(path);
    });
  }

  /** Waits until a node's value is as wanted. */
  async until(path: string, wanted: (text: string | undefined) => boolean): Promise<void> {
    const watch = this.store.watch(path);
    for await (const _ of watch) if (wanted(await this.store.findText(path))) return;
  }

  async connected(device: DeviceName): Promise<void> {
    await this.until(`${backendPath(device)}/state`, (state) => state === '4');
    await this.until(`${frontendPath(device)}/state`, (state) => state === '4');
  }

  /** A transaction that may be done twice, and is done again when its answer was lost with the connection. */
  async #surely(body: (tx: Transaction) => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await this.store.transaction(body);
        return;
      } catch (error) {
        if (!(error instanceof XenstoreError && error.code === 'ECONNRESET')) throw error;
      }
    }
  }
}
