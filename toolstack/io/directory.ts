/** Where this process is: what relative paths of its user are from. */
import { Fault } from './fault.ts';

/** Throws Fault: somebody has removed it. */
export function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    throw new Fault('the directory that relative paths are from is no more');
  }
}
