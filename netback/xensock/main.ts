#!/usr/bin/env node
/**
 * xensock: picks the machine, and serves the sockets that toolstacks order in its backend directory, until it is told to stop. Whoever starts it
 * again goes on with guests that are connected. With the name of a query, it asks the one that runs. Decides nothing else.
 */
import { openMachine } from '../../osdep/machine.ts';
import { runBackend } from '../../xenstored/client/program.ts';
import { Administration, flags } from './io/administration.ts';
import { isQuery, runQuery } from './io/query.ts';
import { serveSockets } from './io/service.ts';

const args = process.argv.slice(2);
if (isQuery(args)) {
  runQuery(args, (text) => void process.stdout.write(text)).catch((error: unknown) => {
    process.stderr.write(`xensock: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
} else {
  runBackend({
    name: 'xensock',
    linux: { driver: 'pvcalls', module: 'pvcalls-back' },
    about:
      'Serves sockets for guests: every device below /local/domain/<own>/backend/pvcalls, as it comes and goes.',
    platform: openMachine,
    flags,
    service: async (host, values) => {
      const { platform, recordDir, log } = host;
      const administration = new Administration(host, values);
      process.once('exit', () => administration.close());
      const { rulesOf, decided: onDecision } = administration;
      const sockets = serveSockets({ platform, recordDir, rulesOf, onDecision, log });
      await administration.open(sockets);
      return sockets.service;
    },
  });
}
