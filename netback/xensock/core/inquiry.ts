/**
 * What a guest, with the extension, or an administrator asks of a socket that is there: names of both ends, options, and the end of one direction.
 * Addresses are told as the guest knows them, not as the policy has mapped them.
 */
import { type InetAddress, isAny } from './address.ts';
import { Errno } from './errno.ts';
import type { Answer, Hands } from './hands.ts';
import { findOption, isOurs, optionBytes, ownAnswer, VALUE_BYTES } from './options.ts';
import { addressBytes, anyAddress, inFamily, type Socket } from './socket.ts';
import { isDatagram, type TableOptions } from './table.ts';

const SHUT_MOST = 2;

interface Named {
  readonly level: number;
  readonly name: number;
}

export function nameOf(hands: Hands, socket: Socket, which: 'own' | 'peer'): Answer<InetAddress> {
  const { family, state, number } = socket;
  if (state === 'lost' || state === 'accepting') return { ok: false, errno: Errno.ENOTCONN };
  if (which === 'peer' && state !== 'active') return { ok: false, errno: Errno.ENOTCONN };
  const known = which === 'own' ? (socket.own ?? socket.listener?.own) : socket.peer;
  // A socket that is bound to all addresses has one of them once it is connected.
  if (known !== undefined && !(state === 'active' && which === 'own' && isAny(known)))
    return { ok: true, value: known };
  if (state === 'created' && !isDatagram(socket)) return { ok: true, value: anyAddress(family) };
  const name = hands.name(number, which);
  if (name.ok) {
    // The port that the guest listens at may stand for another one of the machine's.
    const port = (which === 'own' && known?.port) || name.value.port;
    return { ok: true, value: { ...inFamily(family, name.value), port } };
  }
  // A datagram socket that has not sent yet has no port.
  return state === 'created' ? { ok: true, value: anyAddress(family) } : name;
}

/** The answer to a CONNECT or an ACCEPT that came about: with the extension the name that the guest cannot know. */
export function nameTold(options: TableOptions, socket: Socket, which: 'own' | 'peer'): number | Uint8Array {
  if (!options.extended) return 0;
  const name = nameBytes(options.hands, socket, which);
  return typeof name === 'number' ? 0 : name;
}

/** The answer to GETSOCKNAME and GETPEERNAME. */
export function nameBytes(hands: Hands, socket: Socket, which: 'own' | 'peer'): number | Uint8Array {
  const name = nameOf(hands, socket, which);
  return name.ok ? addressBytes(name.value) : name.errno;
}

export function getOption(hands: Hands, socket: Socket, { level, name }: Named): number | Uint8Array {
  const option = findOption(level, name, socket);
  if (option === undefined) return Errno.ENOPROTOOPT;
  const own = ownAnswer(option, socket);
  if (own !== undefined) return optionBytes(own);
  if (socket.state === 'lost' || socket.state === 'accepting') return Errno.ENOTCONN;
  if (isOurs(option))
    return socket.options.find(isOurs)?.value ?? new Uint8Array(option.bytes ?? VALUE_BYTES);
  const value = hands.getOption(socket.number, level, name);
  return value.ok ? value.value : value.errno;
}

export function setOption(
  hands: Hands,
  socket: Socket,
  { level, name, value }: Named & { readonly value: Uint8Array },
): number {
  const option = findOption(level, name, socket);
  if (option === undefined || option.set === 'never') return Errno.ENOPROTOOPT;
  if (value.length !== (option.bytes ?? VALUE_BYTES)) return Errno.EINVAL;
  if (socket.state === 'lost' || socket.state === 'accepting') return Errno.ENOTCONN;
  if (option.set === 'early' && socket.state !== 'created') return Errno.EINVAL;
  const errno = isOurs(option) ? 0 : hands.setOption(socket.number, level, name, value);
  if (errno !== 0) return errno;
  const others = socket.options.filter((set) => set.level !== level || set.name !== name);
  socket.options = [...others, { level, name, value }];
  return 0;
}

export function shutdown(hands: Hands, { state, number }: Socket, how: number): number {
  if (how > SHUT_MOST) return Errno.EINVAL;
  return state === 'active' ? hands.shutdown(number, how) : Errno.ENOTCONN;
}
