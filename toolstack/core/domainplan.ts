/**
 * The creation of a domain as its user sees it: ordered steps, each with its undo, from a record of what is about to be done to a guest that runs. Knows the
 * order, and how a person would say it; not how any of it is done.
 */
import type { DeviceConfig, DomainConfig } from './config.ts';
import { type DomainAction, domainSteps } from './domain.ts';
import type { Step } from './plan.ts';
import type { PlannedStep } from './toolstack.ts';

export type CreationAction =
  | { readonly kind: 'record' | 'unrecord' | 'startModel' | 'stopModel' | 'start' | 'kill' | 'unpause' }
  | { readonly kind: 'domain'; readonly action: DomainAction }
  | { readonly kind: 'attach' | 'detach'; readonly device: DeviceConfig; readonly name: string };

export interface Creation {
  readonly config: DomainConfig;
  readonly start: 'running' | 'paused';
  /** Somebody serves consoles. */
  readonly console: boolean;
  /** Its devices with their names: `xvda`, `vif0`. */
  readonly devices: readonly { readonly device: DeviceConfig; readonly name: string }[];
}

export function creationSteps({ config, start, console, devices }: Creation): Step<CreationAction>[] {
  const domain = (action: DomainAction): CreationAction => ({ kind: 'domain', action });
  return [
    { name: 'write down what is begun', run: { kind: 'record' }, undo: { kind: 'unrecord' } },
    ...domainSteps({ console }).map(({ name, run, undo }) => ({
      name,
      run: domain(run),
      ...(undo !== undefined && { undo: domain(undo) }),
    })),
    ...(config.deviceModel === undefined ? [] : [modelStep(config.deviceModel)]),
    ...devices.map(
      ({ device, name }): Step<CreationAction> => ({
        name: `attach ${name}`,
        run: { kind: 'attach', device, name },
        undo: { kind: 'detach', device, name },
      }),
    ),
    {
      name: `start ${config.kernel ?? 'guest'} in it`,
      run: { kind: 'start' },
      undo: { kind: 'kill' },
    },
    ...(start === 'running' ? [unpause] : []),
  ];
}

function modelStep(model: string): Step<CreationAction> {
  return {
    name: `start its device model, ${model}, in a domain of its own`,
    run: { kind: 'startModel' },
    undo: { kind: 'stopModel' },
  };
}

const unpause: Step<CreationAction> = { name: 'let it run', run: { kind: 'unpause' } };

/** For `--dry-run`. */
export function plannedSteps(creation: Creation): PlannedStep[] {
  return creationSteps(creation).map(({ name, undo }) => ({
    step: name,
    undo: undo === undefined ? undefined : undoText(undo),
  }));
}

function undoText(action: CreationAction): string {
  switch (action.kind) {
    case 'domain':
      return domainUndoText(action.action);
    case 'detach':
      return `detach ${action.name}`;
    case 'stopModel':
      return 'end its device model';
    case 'kill':
      return 'end its process';
    default:
      return 'strike that out';
  }
}

function domainUndoText(action: DomainAction): string {
  switch (action) {
    case 'destroy':
      return 'destroy the domain';
    case 'forgetConsole':
      return 'remove its console';
    default:
      return 'remove its directories from the store';
  }
}
