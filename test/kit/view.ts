/**
 * What there is to see on a host, and the toolstack's hand in its store: at once, while everything else stands still. Knows neither programs nor devices.
 */
import { parseState, type XenbusState } from '../../xenstored/xenbus/state.ts';
import { type GrantInForce, type Hypervisor, isReserved, type PortInUse } from './hypervisor.ts';
import type { Nodes, Perms } from './nodes.ts';

export abstract class HostView {
  protected readonly nodes: Nodes;
  protected readonly hypervisor: Hypervisor;

  constructor(nodes: Nodes, hypervisor: Hypervisor) {
    this.nodes = nodes;
    this.hypervisor = hypervisor;
  }

  /** A node's text; undefined where there is none. */
  read(path: string): string | undefined {
    return this.nodes.read(path);
  }

  /** The names of a node's children. */
  list(path: string): readonly string[] {
    return this.nodes.list(path);
  }

  /** A node and all below it, a line each. */
  tree(path: string = '/'): string {
    return [...this.nodes.tree(path)].join('\n');
  }

  /** Writes a node as the toolstack, at once. */
  write(path: string, value: string, perms?: Perms): void {
    this.nodes.write(path, value);
    if (perms !== undefined) this.nodes.setPerms(path, perms);
  }

  /** Removes a node and all below it as the toolstack, at once. */
  rm(path: string): void {
    this.nodes.remove(path);
  }

  /** The state in a device's directory (`device.back`, `device.front`); 0 (Unknown) where there is none. */
  state(path: string): XenbusState {
    return parseState(this.nodes.read(`${path}/state`));
  }

  /** What a domain grants, and whether it is mapped; but for its store page, which a toolstack granted for it. */
  grants(domid: number): readonly GrantInForce[] {
    return this.hypervisor.grants(domid).filter((grant) => !isReserved(grant));
  }

  /** A domain's ports that are not closed, the store's among them. */
  ports(domid: number): readonly PortInUse[] {
    return this.hypervisor.ports(domid);
  }
}
