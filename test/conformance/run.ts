#!/usr/bin/env node
/**
 * The conformance rows from the command line, against any daemon: `node dist/test/conformance/run.js core|sim|c417|ox|PATH [TITLE]`. PATH is a C
 * daemon's, held against the column of today's. Prints what differs and ends with 1 if anything does.
 */
import { startCore } from './corehost.ts';
import { startC, startOx, startXenstored } from './peers.ts';
import type { Column } from './row.ts';
import { chapters } from './rows/index.ts';
import { startSim } from './simhost.ts';
import { type Factory, playRow, runs } from './store.ts';

const peers: Record<string, { readonly column: Column; readonly factory: Factory }> = {
  core: { column: 'ours', factory: startCore },
  sim: { column: 'ours', factory: startSim },
  c417: { column: 'c417', factory: ({ args = [] }) => startC({ args }) },
  ox: { column: 'ox', factory: ({ config = [] }) => startOx({ config }) },
};

const [peer = '', filter = ''] = process.argv.slice(2);
const { column, factory } = peers[peer] ?? {
  column: 'chead' as const,
  factory: (({ args = [] }) => startXenstored(peer, { args })) satisfies Factory,
};
const supports = { column, rings: true, pages: true, options: true };
let failed = 0;
let played = 0;
for (const chapter of chapters)
  for (const row of chapter.rows) {
    if (!`${chapter.title}: ${row.title}`.includes(filter) || !runs(row, supports)) continue;
    played++;
    try {
      await playRow(row, factory, column);
    } catch (error) {
      failed++;
      console.log(`--- ${error instanceof Error ? error.message : error}`);
    }
  }
console.log(`${column}: ${played} rows played, ${failed} differ`);
process.exitCode = failed > 0 ? 1 : 0;
