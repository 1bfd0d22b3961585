/**
 * Device models, each in a domain of its own beside the domain that it serves: made, started again if its process ends, and taken away with it. Follows
 * toolstack/core/model.ts. Knows no device.
 */
import { randomUUID } from 'node:crypto';
import type { DomainConfig } from '../core/config.ts';
import { domainSteps } from '../core/domain.ts';
import { modelName, modelNodes, modelState, modelTrees } from '../core/model.ts';
import { Plan } from '../core/plan.ts';
import type { DomainRecord } from '../core/record.ts';
import { carryOut } from './carry.ts';
import { infoOf } from './domainlist.ts';
import { removeAll, serviceSpec, writeAll } from './domains.ts';
import { Fault } from './fault.ts';
import { endProcess, guestLog, type Started, startProcess } from './guestprocess.ts';
import type { Parts } from './parts.ts';
import { modelCommand } from './programs.ts';

/** Of its own: its ring, and what outlives its process. */
const MEMORY_MB = 1;
const PATIENCE_MS = 10_000;

type Model = NonNullable<DomainRecord['model']>;

/** Until it serves; what is to be known of it is kept as soon as it is there to be taken back. Throws Fault. */
export async function startModel(
  parts: Parts,
  config: DomainConfig,
  domid: number,
  keep: (model: Model) => void,
): Promise<Started> {
  const { domains, store, ctrl } = parts;
  const uuid = randomUUID();
  let model: Model = { uuid, domid: undefined, process: undefined };
  const learnt = (more: Partial<Model>): void => {
    model = { ...model, ...more };
    keep(model);
  };
  learnt({});
  const spec = serviceSpec(modelName(config.name), uuid, MEMORY_MB);
  const builder = domains.builder(store, { ...parts, consoleDomid: undefined }, spec);
  await carryOut(new Plan(domainSteps({ console: false })), {
    perform: async (action) => {
      await builder.perform(action);
      if (action === 'create') learnt({ domid: builder.domid });
    },
  });
  const modelDomid = builder.domid!;
  ctrl.setTarget(modelDomid, domid);
  await store.setTarget(modelDomid, domid);
  await store.transaction((tx) => writeAll(tx, modelNodes({ domid, modelDomid })));
  domains.unpause(modelDomid);
  const started = startModelProcess(parts, config, modelDomid, (process) => learnt({ process }));
  await running(parts, { domid, modelDomid });
  return started;
}

/** Also one that was killed: the access of its guest that is under way waits for it. */
export async function startModelAgain(
  parts: Parts,
  { config, model }: DomainRecord,
  keep: (model: Model) => void,
): Promise<Started> {
  const there = { ...model!, name: modelName(config.name), memoryMb: MEMORY_MB, domid: model!.domid! };
  await parts.domains.reconnect(parts.store, parts.storeDomid, there);
  return startModelProcess(parts, config, there.domid, (process) => keep({ ...model!, process }));
}

function startModelProcess(
  parts: Parts,
  config: DomainConfig,
  modelDomid: number,
  keep: (process: Started['id']) => void,
): Started {
  const environment = parts.environment(modelDomid, 'outlives its process');
  const started = startProcess(
    modelCommand(parts.run, environment),
    guestLog(parts.run, modelName(config.name)),
  );
  keep(started.id);
  started.go();
  return started;
}

async function running({ store }: Parts, spec: { domid: number; modelDomid: number }): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  for await (const _ of store.watch(modelState(spec), { signal })) {
    if ((await store.findText(modelState(spec))) === 'running') return;
  }
  throw new Fault(`its device model does not serve after ${PATIENCE_MS / 1000} s, see its log`);
}

/** However far it had come. The domain that it served is gone by then, or has never run. */
export async function removeModel(parts: Parts, { domid, model }: DomainRecord): Promise<void> {
  if (model === undefined) return;
  const { ctrl, domains, store } = parts;
  await endProcess(model.process);
  const info = infoOf(ctrl, model);
  if (info !== undefined) domains.destroy(info.domid);
  const modelDomid = model.domid ?? info?.domid;
  if (modelDomid === undefined) return;
  if ((await store.findText(`/local/domain/${modelDomid}/vm`)) !== `/vm/${model.uuid}`) return;
  if (domid !== undefined) {
    const trees = modelTrees({ domid, modelDomid });
    await store.transaction((tx) => removeAll(tx, trees));
  }
  await domains.forget(store, modelDomid, model.uuid);
}
