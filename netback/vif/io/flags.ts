/**
 * netback's own flags: how interfaces are connected, and the way out. What makes no sense is one clear line. Opens nothing.
 */
import { type Address, isDeviceName, parseAddress } from '../../../osdep/os/netdev.ts';
import type { FlagValues, ProgramFlags } from '../../../xenstored/client/program.ts';
import type { UplinkOrder } from './switched.ts';

/** How interfaces are connected. */
export type Wiring =
  | { readonly mode: 'switch'; readonly uplink: UplinkOrder | undefined }
  | { readonly mode: 'tap'; readonly scripts: boolean };

export const flags: ProgramFlags = {
  options: {
    mode: { type: 'string' },
    scripts: { type: 'string' },
    uplink: { type: 'string' },
    'uplink-address': { type: 'string' },
    'uplink-bridge': { type: 'string' },
  },
  help: `  --mode switch       interfaces with the same \`bridge\` key, or with none, reach each other in here; default on the simulator
  --mode tap          each interface is a network device of this machine, vifDOMID.DEVID or what \`vifname\` says, for bridges and
                      hotplug scripts; default on Xen
  --scripts yes|no    with tap: whether somebody runs the hotplug script that is ordered; if not, or where none is, the device
                      becomes a port of \`bridge\`, if that is named, and goes up; default: yes
  --uplink NAME       with switch: interfaces whose \`bridge\` is xenbr0 or none also reach this machine, by a TAP device of this name
  --uplink-address A  its IPv4 address and prefix: 10.53.0.1/24
  --uplink-bridge B   the bridge of this machine that it becomes a port of
`,
  check: (values) => void wiringOf(values, values.scripts === undefined ? 'switch' : 'tap'),
};

/** Throws an Error of one line. */
export function wiringOf(values: FlagValues, usual: Wiring['mode']): Wiring {
  const mode = oneOf(values, 'mode', ['switch', 'tap']) ?? usual;
  const scripts = oneOf(values, 'scripts', ['yes', 'no']);
  const uplink = uplinkOf(values);
  if (mode === 'tap') {
    if (uplink !== undefined) throw new Error('--uplink: only with --mode switch');
    return { mode, scripts: scripts !== 'no' };
  }
  if (scripts !== undefined) throw new Error('--scripts: only with --mode tap');
  return { mode, uplink };
}

function uplinkOf(values: FlagValues): UplinkOrder | undefined {
  const name = deviceName(values, 'uplink');
  const bridge = deviceName(values, 'uplink-bridge');
  const text = values['uplink-address'];
  const address = typeof text === 'string' ? addressOf(text) : undefined;
  if (name !== undefined)
    return { name, ...(address !== undefined && { address }), ...(bridge !== undefined && { bridge }) };
  if (bridge !== undefined || address !== undefined)
    throw new Error(`--uplink-${bridge === undefined ? 'address' : 'bridge'}: only with --uplink`);
  return undefined;
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`--uplink-address ${text}: not an IPv4 address and prefix`);
  return address;
}

function deviceName(values: FlagValues, flag: string): string | undefined {
  const name = values[flag];
  if (typeof name !== 'string') return undefined;
  if (!isDeviceName(name)) throw new Error(`--${flag} ${name}: no name for a network device`);
  return name;
}

function oneOf<T extends string>(values: FlagValues, flag: string, choices: readonly T[]): T | undefined {
  const value = values[flag];
  if (value === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === value);
  if (choice === undefined) throw new Error(`--${flag} ${value}: neither ${choices.join(' nor ')}`);
  return choice;
}
