/**
 * Frontends that do nothing but be there: a disk and an interface with rings on which nothing is ever put, and one port each. For hosts of a thousand
 * guests, where it is the devices that count and not what goes through them.
 */
import type { Evtchn } from '../../osdep/evtchn.ts';
import type { Gntshr, SharedPages } from '../../osdep/gntshr.ts';
import { PAGE_SIZE } from '../../osdep/mapping.ts';
import type { FrontendDevice, FrontendDriver, FrontendLink } from '../../xenstored/client/frontend.ts';

export interface BulkFrontOptions {
  readonly evtchn: Evtchn;
  readonly gntshr: Gntshr;
  /** A device is connected: `device/vbd/51712`. */
  readonly onConnected: (path: string) => void;
}

type Keys = Readonly<Record<string, string>>;

export function bulkFronts(options: BulkFrontOptions): readonly FrontendDriver[] {
  const disk = (refs: readonly number[], port: number): Keys => ({
    'ring-ref': `${refs[0]}`,
    'event-channel': `${port}`,
    protocol: 'x86_64-abi',
  });
  const card = (refs: readonly number[], port: number): Keys => ({
    'tx-ring-ref': `${refs[0]}`,
    'rx-ring-ref': `${refs[1]}`,
    'event-channel': `${port}`,
    'request-rx-copy': '1',
    'feature-rx-notify': '1',
  });
  return [
    { kind: 'vbd', published: 3, open: (link) => new BulkDevice(options, link, 1, disk) },
    { kind: 'vif', published: 4, open: (link) => new BulkDevice(options, link, 2, card) },
  ];
}

class BulkDevice implements FrontendDevice {
  readonly #options: BulkFrontOptions;
  readonly #link: FrontendLink;
  readonly #rings: number;
  readonly #keys: (refs: readonly number[], port: number) => Keys;
  #shared: SharedPages | undefined;
  #port: number | undefined;

  constructor(
    options: BulkFrontOptions,
    link: FrontendLink,
    rings: number,
    keys: (refs: readonly number[], port: number) => Keys,
  ) {
    this.#options = options;
    this.#link = link;
    this.#rings = rings;
    this.#keys = keys;
  }

  async share(): Promise<Keys> {
    const { gntshr, evtchn } = this.#options;
    const { backendDomid } = this.#link;
    this.#shared = gntshr.sharePages(backendDomid, this.#rings, 'rw');
    for (let ring = 0; ring < this.#rings; ring++) emptyRing(this.#shared.page(ring));
    this.#port = evtchn.bindUnboundPort(backendDomid);
    return this.#keys(this.#shared.refs, this.#port);
  }

  async activate(): Promise<void> {
    this.#options.onConnected(this.#link.path);
  }

  /** There never is a request in flight. */
  async quiesce(): Promise<void> {}

  release(): void {
    const { gntshr, evtchn } = this.#options;
    if (this.#shared !== undefined) gntshr.unshare(this.#shared, this.#rings);
    if (this.#port !== undefined) evtchn.unbind(this.#port);
    this.#shared = undefined;
    this.#port = undefined;
  }
}

/** Nothing on it, and both ends want to hear of the first one (xen/include/public/io/ring.h). */
function emptyRing(page: Uint8Array): void {
  const words = new DataView(page.buffer, page.byteOffset, PAGE_SIZE);
  for (const [at, value] of [0, 1, 0, 1].entries()) words.setUint32(at * 4, value, true);
}
