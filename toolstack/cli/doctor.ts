/**
 * `stubdom0 doctor`: whether this machine can run the store of a Xen host, and what is missing. Exit code 0: xenstored can run here now; 1: not.
 */
import { findingsOf } from '../../osdep/xen/findings.ts';
import { probeHost } from '../../osdep/xen/probe.ts';
import { canServe, findingsOn, report } from '../core/doctor.ts';
import { lookInstalled } from '../io/installed.ts';

export async function doctor(form: 'text' | 'json'): Promise<number> {
  const facts = await probeHost();
  const installed = lookInstalled({ startedAs: process.argv[1] ?? '' });
  const findings = [...findingsOf(facts), ...(facts.hypervisor === 'xen' ? findingsOn(installed) : [])];
  const xenstored = canServe(findings);
  if (form === 'json') console.log(JSON.stringify({ xenstored, findings, facts, installed }, undefined, 2));
  else for (const line of report(findings)) console.log(line);
  return xenstored ? 0 : 1;
}
