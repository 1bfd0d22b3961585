/** Errors as Node's own sockets tell them: `code`, `errno` (negative), `syscall`, `address`, `port`. Knows only numbers and names. */
import { errnoName } from '../../../osdep/errno.ts';
import { ENOTSUP } from '../core/pvcalls.ts';

export interface Target {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

export class SocketError extends Error {
  override readonly name: string = 'Error';
  readonly code: string;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
  readonly address?: string;
  readonly port?: number;

  constructor(message: string, code: string, syscall?: string, errno?: number, target: Target = {}) {
    super(message);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    if (target.address !== undefined) this.address = target.address;
    if (target.port !== undefined) this.port = target.port;
  }
}

/** What went wrong in a call: `connect ECONNREFUSED 10.0.0.1:80`. `errno`: minus an error number. */
export function failure(syscall: string, errno: number, target: Target = {}): SocketError {
  const code = -errno === ENOTSUP ? 'ENOTSUP' : errnoName(-errno);
  const { address, port } = target;
  const where = address === undefined ? '' : ` ${address}${port === undefined ? '' : `:${port}`}`;
  return new SocketError(`${syscall} ${code}${where}`, code, syscall, errno, target);
}

/** A port of a program's. Throws RangeError, ERR_SOCKET_BAD_PORT. */
export function portOf(port: number | string | null | undefined, least: number): number {
  const number = typeof port === 'string' && port.trim() !== '' ? Number(port) : port;
  if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= 65_535)
    return number;
  throw Object.assign(new RangeError(`a port is a number from ${least} to 65535, not ${String(port)}`), {
    code: 'ERR_SOCKET_BAD_PORT',
  });
}
