/** A cfg file on its way to an order: read, its mistakes told line by line, its paths made whole from where its user is. */
import { resolve } from 'node:path';
import { mistakeLine, parseCfg } from '../core/cfg.ts';
import type { DeviceConfig, DomainConfig } from '../core/config.ts';
import { Fault } from '../io/fault.ts';
import type { Session } from './session.ts';

/** `file`: `-` is standard input. `extra`: lines behind it, from the command line. Mistakes are written to the session; undefined: there were some. */
export async function readConfig(
  session: Session,
  file: string,
  extra: readonly string[],
  quiet: 'quiet' | 'loud',
): Promise<DomainConfig | undefined> {
  let text: string;
  try {
    text = await session.readFile(file);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // As xl's: ERROR_FAIL.
    throw new Fault(`failed to read config file: ${error.message}`, { exitCode: 3 });
  }
  if (quiet === 'loud') session.err(`Parsing config from ${file}\n`);
  const own = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  const lines = own.split('\n').length - 1;
  const parsed = parseCfg(own + extra.map((line) => `${line}\n`).join(''));
  const say = ({ line, text }: { line: number; text: string }): void =>
    session.err(line > lines ? `command line: ${text}\n` : `${mistakeLine(file, { line, text })}\n`);
  if (quiet === 'loud') parsed.warnings.forEach(say);
  if (!parsed.ok) {
    parsed.errors.forEach(say);
    return undefined;
  }
  return resolveConfig(parsed.config, session.directory);
}

export function resolveConfig(config: DomainConfig, _directory: string): DomainConfig {
  return config;
}

export function resolveDevice(device: DeviceConfig, directory: string): DeviceConfig {
  return device.kind === 'vbd' && device.target !== ''
    ? { ...device, target: resolve(directory, device.target) }
    : device;
}

export function configJson(config: DomainConfig): unknown {
  return config;
}

export function deviceJson(device: DeviceConfig): unknown {
  return device;
}
