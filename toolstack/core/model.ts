/**
 * A device model in a domain of its own: what a toolstack does for it besides what it does for any domain, and the nodes by which the two find each
 * other. Follows libxl_dm.c of Xen 4.22 for stub domains; the node of the terminal is QEMU's. Knows no store and no device.
 *
 * In the creation of a domain with `device_model="serial"`, after the domain has its nodes and before it is unpaused:
 *
 *   step                                                      undo
 *   create the domain `modelName(name)`: 1 vCPU, a MiB, its   destroy it, forget its trees
 *     store ring and nodes as any domain's, frame 0 its own
 *   Ctrl.setTarget(model, domid), and the store's SET_TARGET  (ends with either)
 *   write `modelNodes` in one transaction                     remove `modelTrees`
 *   unpause it; start `dist/toolstack/model/main.js` with     end the process
 *     its token, restartable
 *   wait until `modelState` says `running`                    -
 *
 * The guest itself is created with `hvm: true`, whatever its type: others have no emulated devices. Both are destroyed together, the guest first. The token
 * is restartable, so that a model's process that was killed costs the guest nothing but time if it is started again: the hypervisor keeps its ioreq server and
 * the guest's access that is under way, and the next process goes on with them.
 */
import type { PermEntry } from '../../xenstored/wire/reply.ts';
import { terminalNode } from './console.ts';
import type { NodeSpec } from './domain.ts';

export interface ModelSpec {
  /** Whose devices it makes up. */
  readonly domid: number;
  /** Where it runs. */
  readonly modelDomid: number;
}

/** As libxl names the domain. */
export function modelName(name: string): string {
  return `${name}-dm`;
}

/** The model's own directory, which it may write. */
function modelPath({ domid, modelDomid }: ModelSpec): string {
  return `/local/domain/${modelDomid}/device-model/${domid}`;
}

/** Says `running` once it serves. */
export function modelState(spec: ModelSpec): string {
  return `${modelPath(spec)}/state`;
}

/** What `modelNodes` makes outside of the model's own tree is below the guest's, and goes with that. */
export function modelTrees(spec: ModelSpec): string[] {
  return [modelPath(spec), serialPath(spec.domid), `/local/domain/${spec.domid}/image`];
}

/** To be written in one transaction, when both domains have their directories. */
export function modelNodes(spec: ModelSpec): NodeSpec[] {
  const { domid, modelDomid } = spec;
  const models: PermEntry[] = [
    { letter: 'n', domid: modelDomid },
    { letter: 'r', domid },
  ];
  const readable = (domid: number): PermEntry[] => [
    { letter: 'n', domid: 0 },
    { letter: 'r', domid },
  ];
  return [
    { path: `/local/domain/${modelDomid}/target`, value: `${domid}`, perms: readable(modelDomid) },
    { path: modelPath(spec), value: '', perms: models },
    {
      path: `/local/domain/${domid}/image/device-model-domid`,
      value: `${modelDomid}`,
      perms: readable(domid),
    },
    { path: serialPath(domid), value: '', perms: models },
    { path: terminalNode(domid, 'serial', 0), value: '', perms: models },
  ];
}

function serialPath(domid: number): string {
  return `/local/domain/${domid}/serial/0`;
}
