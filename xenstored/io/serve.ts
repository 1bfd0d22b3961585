/**
 * The daemon as a process, for as long as it serves: in the steps and with the words of the C daemon (tools/xenstored/posix.c): directories,
 * background, pid file, socket, ready; then signals.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { Errno, type OsError } from '../../osdep/errno.ts';
import { type Host, hostOf } from '../../osdep/os/host.ts';
import * as sock from '../../osdep/os/sock.ts';
import { logToStderr, logToSyslog } from './log.ts';
import { type Options, PROGRAM } from './options.ts';
import { Fatal, type Machinery, type RunOptions, reason } from './run.ts';

/** Sockets for as many clients, and a descriptor for each mapped page. */
const OPEN_FILES = 1 << 17;

/** Resolves once it serves. Throws Fatal, OsError, DatabaseError. */
export async function serve(options: Options, openPlatform: RunOptions['openPlatform']): Promise<void> {
  const { fork, runDir, socketPath, pidFile } = options;
  if (options.liveUpdate) throw new Fatal('live update is not available');
  const host = hostOf(options.stubDomain ? 'stub domain' : 'host');
  if (fork) await host.daemonise();
  const log = fork ? logToSyslog : logToStderr;
  const fatal = (error: unknown): never => {
    log('crit', reason(error));
    process.exit(1);
  };
  process.on('uncaughtException', fatal);

  // Where one cannot be made, the file that was to be in it will say so.
  makeDirectory(runDir);
  if (pidFile !== undefined && takePidFile(host, pidFile) === 'locked') process.exit(0);
  const listener = listen(socketPath);
  const leave = (): void => {
    rmSync(socketPath, { force: true });
    if (pidFile !== undefined) rmSync(pidFile, { force: true });
  };
  sock.raiseOpenFiles(OPEN_FILES);
  // Clients can connect from here on; what serves them is loaded meanwhile.
  const start = async () => {
    const { Server } = await import('./server.ts');
    const machinery = await openPlatform(options);
    const boot = bootOf(machinery);
    return Server.start({ options, platform: machinery?.platform, boot, listener, log, fatal });
  };
  const server = await start().catch((error) => {
    leave();
    throw error;
  });

  host.onReopenLogs(() => server.reopenLogs());
  const end = async (): Promise<void> => {
    await server.close();
    leave();
    process.exit(0);
  };
  process.once('SIGTERM', () => void end().catch(fatal));
  process.once('SIGINT', () => void end().catch(fatal));

  host.notifyReady();
  host.finishDaemonise();
  process.stderr.write(`${PROGRAM} is ready\n`);
}

/** The host's boot, and the hypervisor's where it may live shorter. */
function bootOf(machinery: Machinery | undefined): string {
  const kernel = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return machinery ? `${kernel}-${machinery.platform.name}-${machinery.instance}` : kernel;
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch {}
}

function takePidFile(host: Host, path: string): 'taken' | 'locked' {
  try {
    return host.takePidFile(path);
  } catch (error) {
    throw new Fatal(`Opening pid file ${path}: ${(error as Error).message}`);
  }
}

function listen(path: string): number {
  try {
    return sock.listen({ path });
  } catch (error) {
    const { errno, message } = error as OsError;
    if (errno === Errno.EADDRINUSE) throw new Fatal(`another daemon is there already: ${message}`);
    throw new Fatal(`Could not bind socket to ${path}: ${message}`);
  }
}
