/**
 * One emulated machine with Xen on it: QEMU without hardware help, three folders of this machine shared with dom0. Starts, watches and ends
 * the process; knows nothing of what runs inside. Each word of the command line has a reason in README.md here.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';

export interface MachineOptions {
  /** As bootfiles.ts makes it. */
  readonly boot: string;
  /** Read by dom0 as /app, and written as /out. */
  readonly app: string;
  readonly out: string;
  /** The project's node_modules: dom0's /app/node_modules. */
  readonly packages: string;
  /** Nested paging, which PVH guests need. */
  readonly hap: boolean;
  /** Where dom0's and Xen's console goes. */
  readonly serial: string;
  /** The terminal is dom0's console. */
  readonly interactive?: boolean;
}

const MEMORY_MIB = 3072;
const DOM0_MIB = 1024;

export class Machine {
  /** Resolves when it is off, with why where that was not of itself. */
  readonly off: Promise<string | undefined>;
  readonly #process: ChildProcess;
  #stopped: string | undefined;

  constructor(options: MachineOptions) {
    // The kernel ends it should we be killed: no machine outlives its owner.
    const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(options)];
    this.#process = spawn('setpriv', args, {
      cwd: options.boot,
      stdio: options.interactive ? 'inherit' : ['ignore', 'ignore', 'pipe'],
      // Ctrl-C is for us to handle, and for dom0 when a person sits there.
      detached: options.interactive !== true,
    });
    let complaint = '';
    this.#process.stderr?.on('data', (bytes: Buffer) => {
      complaint = (complaint + bytes.toString()).slice(-2000);
    });
    this.off = new Promise((resolve) => {
      this.#process.on('error', (error) => resolve(`QEMU: ${error.message}`));
      this.#process.on('close', (status, signal) => {
        if (this.#stopped !== undefined) resolve(this.#stopped);
        else if (status === 0) resolve(undefined);
        // Nobody here kills it, but a machine without memory does.
        else resolve(`QEMU ended with ${status ?? signal}: ${complaint.trim() || 'it said nothing'}`);
      });
    });
  }

  /** Switches it off, at once. */
  async stop(why: string): Promise<void> {
    this.#stopped ??= why;
    this.#process.kill('SIGKILL');
    await this.off;
  }
}

/** Of the machine. A second one is worth its while only where there is a second one for QEMU. */
export function processors(): number {
  return Math.min(2, availableParallelism());
}

export function qemuArguments({
  app,
  boot,
  hap,
  interactive,
  out,
  packages,
  serial,
}: MachineOptions): readonly string[] {
  const share = (tag: string, path: string, more: string) =>
    `local,path=${path.replaceAll(',', ',,')},mount_tag=${tag},security_model=none,multidevs=remap${more}`;
  const console_ = interactive
    ? `stdio,id=console,signal=off,logfile=${serial.replaceAll(',', ',,')}`
    : `file,id=console,path=${serial.replaceAll(',', ',,')}`;
  const xen = [
    'console=com1 com1=115200,8n1',
    `dom0_mem=${DOM0_MIB}M,max:${DOM0_MIB}M`,
    'dom0_max_vcpus=1 dom0_vcpus_pin',
    // Nobody's secrets are in this memory, and touching all of it takes a processor for seconds and the host's memory.
    'bootscrub=0',
  ];
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', hap ? 'qemu64,+svm,+npt' : 'qemu64'],
    ...['-smp', `${processors()}`, '-m', `${MEMORY_MIB}`],
    ...['-display', 'none', '-monitor', 'none', '-nic', 'none', '-no-reboot'],
    ...['-chardev', console_, '-serial', 'chardev:console'],
    ...['-virtfs', share('boot', boot, ',readonly=on'), '-virtfs', share('app', app, ',readonly=on')],
    ...['-virtfs', share('packages', packages, ',readonly=on'), '-virtfs', share('out', out, '')],
    ...['-kernel', 'xen.elf', '-append', xen.join(' ')],
    // A comma parts the modules, so no path stands here.
    ...[
      '-initrd',
      `vmlinux console=hvc0 panic=1 ${interactive ? 'quiet loglevel=3' : 'loglevel=4'},dom0.initrd`,
    ],
  ];
}
