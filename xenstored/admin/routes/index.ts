/**
 * The groups of routes, in the order in which the OpenAPI document lists them.
 */
import type { Routes } from '../context.ts';
import { controlRoutes } from './control.ts';
import { daemonRoutes } from './daemon.ts';
import { domainRoutes } from './domains.ts';
import { eventRoutes } from './events.ts';
import { metricsRoutes } from './metrics.ts';
import { nodeRoutes } from './node.ts';
import { searchRoutes } from './search.ts';
import { sessionRoutes } from './session.ts';
import { treeRoutes } from './tree.ts';

export const groups: readonly Routes[] = [
  sessionRoutes,
  nodeRoutes,
  treeRoutes,
  searchRoutes,
  eventRoutes,
  domainRoutes,
  daemonRoutes,
  metricsRoutes,
  controlRoutes,
];
