/** All chapters of the store's conformance suite. */
import type { Chapter } from '../row.ts';
import { control } from './control.ts';
import { domains } from './domains.ts';
import { framing } from './framing.ts';
import { nodes } from './nodes.ts';
import { paths } from './paths.ts';
import { permissions } from './permissions.ts';
import { quotas } from './quotas.ts';
import { transactions } from './transactions.ts';
import { watches } from './watches.ts';

export const chapters: readonly Chapter[] = [
  framing,
  paths,
  nodes,
  permissions,
  watches,
  transactions,
  quotas,
  domains,
  control,
];
