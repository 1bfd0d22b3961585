#!/usr/bin/env node
/** `stubdom0`: runs the command line, and turns what a user can mend into one line. */
import { runProgram } from './cli/program.ts';
import { Fault } from './io/fault.ts';

try {
  process.exitCode = await runProgram(process.argv.slice(2), process.env);
} catch (error) {
  console.error(error instanceof Fault ? `stubdom0: ${error.message}` : error);
  process.exitCode = error instanceof Fault ? error.exitCode : 1;
}
// Whoever read what is typed is done with it; it would keep the process.
if ('unref' in process.stdin) process.stdin.unref();
