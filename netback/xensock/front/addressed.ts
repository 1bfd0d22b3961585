/** What a stream knows of its two ends, as Node's `net.Socket` tells it. Addresses of families other than AF_INET and AF_INET6 are not told. */
import { Duplex } from 'node:stream';
import { formatIp, type InetAddress } from '../core/address.ts';
import type { SocketAddress } from './driver.ts';
import { type AddressInfo, infoOf } from './hosts.ts';
import { isInet } from './routes.ts';

/** Numbers: unknown, minus an error number. */
export interface Ends {
  readonly own: SocketAddress | number;
  readonly peer: SocketAddress | number;
}

export class AddressedDuplex extends Duplex {
  #own: InetAddress | undefined;
  #peer: InetAddress | undefined;

  protected stands({ own, peer }: Ends): void {
    if (typeof own !== 'number' && isInet(own)) this.#own = own;
    if (typeof peer !== 'number' && isInet(peer)) this.#peer = peer;
  }

  get remoteAddress(): string | undefined {
    return this.#peer && formatIp(this.#peer);
  }

  get remotePort(): number | undefined {
    return this.#peer?.port;
  }

  get remoteFamily(): string | undefined {
    return this.#peer && infoOf(this.#peer).family;
  }

  get localAddress(): string | undefined {
    return this.#own && formatIp(this.#own);
  }

  get localPort(): number | undefined {
    return this.#own?.port;
  }

  get localFamily(): string | undefined {
    return this.#own && infoOf(this.#own).family;
  }

  /** `{}`: unknown. */
  address(): AddressInfo | Record<string, never> {
    return this.#own === undefined ? {} : infoOf(this.#own);
  }
}
