/**
 * What `--help` prints. Apart from the options so that a daemon does not load what it never shows.
 */
import { quotaNames, quotaTexts } from '../core/quota.ts';

const quotaLines = quotaNames
  .map((name) => `${' '.repeat(28)}${name}: ${lowerFirst(quotaTexts[name])}`)
  .join('\n');

export const usage: string = `Usage:

  xenstored <options>

where options may include:

  -F, --pid-file <file>   write the daemon's pid to this file,
  -H, --help              show this message,
  -N, --no-fork           stay in the foreground,
  -T, --trace-file <file> write a trace to this file,
      --trace-control=+<switch>  trace this too,
      --trace-control=-<switch>  do not trace this; switches are:
                            obj, io (both on at first), wrl, acc, tdb
  -E, --entry-nb <nb>     limit the number of nodes per domain,
  -S, --entry-size <size> limit the size of a node,
  -W, --watch-nb <nb>     limit the number of watches per domain,
  -t, --transaction <nb>  limit the number of open transactions per domain,
  -A, --perm-nb <nb>      limit the number of permissions per node,
  -M, --path-max <chars>  limit the length of a node's path,
  -Q, --quota <what>=<nb> set a quota; there are:
${quotaLines}
  -q, --quota-soft <what>=<nb>  warn in the log above this; there is:
                            memory
  -w, --timeout <what>=<seconds>  set a timeout; there is:
                            watch-event: how long an event waits for a reader
  -K, --keep-orphans      keep nodes of domains that are gone (a security risk!)
      --master-domid <id> the domain that xenstored runs in,
      --priv-domid <id>   the privileged domain

and, beyond those of Xen's own daemon:

      --run <dir>         the host's run directory; the socket is xenstored/socket
                            below it (default: /var/run),
      --platform sim|xen  the machine (default: what is there),
      --stub-domain         run in a domain of the store's own on real Xen: all domains
                            are reached by grant, dom0's port comes by --event, messages
                            go to stderr,
      --event <port>        the port of dom0's that waits for the stub domain,
      --database <dir>|memory  where the store lives (default: db beside the socket),
      --durability process|sync  what a reply outlives: the daemon's death, or also
                            the machine's (default: process),
      --quota-compare at-most|head  a quota of N allows N, or N - 1 as in Xen 4.22
                            (default: at-most),
      --pcap <file>       capture all messages, for Wireshark
      --check-host        serve nothing: say whether this machine can be served, and
                            what is in the way; exit code 0: it can, 1: it cannot

Environment: XENSTORED_RUNDIR, XENSTORED_PATH (the socket), STUBDOM0_RUN.
`;

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
