/**
 * The keys of a disk: what stands in both directories, by whom and within what range (xen/include/public/io/blkif.h and what libxl
 * writes), and the readers that check the peer's. A disk's contents, rings and requests are for blkback.
 */
import {
  commonBackendKeys,
  commonFrontendKeys,
  type DeviceKeys,
  flag,
  from,
  number,
  perQueue,
  text,
  word,
} from './keys.ts';
import { Checker, GREF_MAX, type KeyReader, PORT_MAX } from './value.ts';

export const vbdKeys: DeviceKeys = {
  backend: [
    ...commonBackendKeys,
    ...from('libxl', [
      text(
        'toolstack',
        'params',
        'what the disk is made of: a device or file, for some types with a format in front',
      ),
      text('toolstack', 'type', 'how `params` is meant: phy, file, tap, qdisk, vbd3, standalone', 'phy'),
      text('toolstack', 'dev', 'the name that the guest gives it', 'none'),
      flag('toolstack', 'removable', 'the medium may change'),
      flag('toolstack', 'bootable', 'the guest may boot from it'),
    ]),
    ...from('blkif.h', [
      word('toolstack', 'mode', ['r', 'w'], 'w: writable'),
      word('toolstack', 'device-type', ['disk', 'cdrom', 'floppy'], 'what it looks like', 'disk'),
      flag('toolstack', 'direct-io-safe', 'O_DIRECT does no harm'),
      flag('toolstack', 'discard-enable', '0: offer no discard', '1'),
      text('script', 'physical-device', "what Linux's blkback waits for", 'none', 'major:minor'),
      text('script', 'physical-device-path', 'the same by name', 'none'),
      number(
        'backend',
        'max-ring-page-order',
        [0, 4],
        'the largest ring, as a power of two of 4 KiB pages',
        '0',
      ),
      number('backend', 'max-ring-pages', [1, 16], 'the older form of max-ring-page-order', '1'),
      number('backend', 'multi-queue-max-queues', [1, 64], 'the most rings', '1'),
      number(
        'backend',
        'feature-max-indirect-segments',
        [0, 4096],
        'segments of an indirect request',
        'no indirect requests',
      ),
      flag('backend', 'feature-persistent', 'grants are kept mapped'),
      flag('backend', 'feature-flush-cache', 'BLKIF_OP_FLUSH_DISKCACHE may be sent'),
      flag('backend', 'feature-barrier', 'BLKIF_OP_WRITE_BARRIER may be sent'),
      flag('backend', 'feature-discard', 'BLKIF_OP_DISCARD may be sent'),
      number('backend', 'discard-granularity', [512, GREF_MAX], 'bytes', 'sector-size'),
      number('backend', 'discard-alignment', [0, GREF_MAX], 'bytes', '0'),
      flag('backend', 'discard-secure', 'the secure flag is honoured'),
      number(
        'backend',
        'sectors',
        [0, Number.MAX_SAFE_INTEGER],
        'size in units of 512 bytes, whatever sector-size is',
      ),
      number(
        'backend',
        'sector-size',
        [512, 4096],
        'bytes, a power of two: what requests are aligned to',
        '512',
      ),
      number('backend', 'physical-sector-size', [512, GREF_MAX], 'bytes', 'sector-size'),
      number('backend', 'info', [0, 7], '1: CD-ROM, 2: removable, 4: read-only', '0'),
    ]),
  ],
  frontend: [
    ...commonFrontendKeys,
    ...from('blkif.h', [
      number('toolstack', 'virtual-device', [0, GREF_MAX], 'the number that names the disk'),
      word('toolstack', 'device-type', ['disk', 'cdrom', 'floppy'], 'what it looks like', 'disk'),
      word(
        'frontend',
        'protocol',
        ['x86_64-abi', 'x86_32-abi', 'arm-abi'],
        "the requests' layout; some toolstacks write it for the guest",
        "the backend's own",
      ),
      number('frontend', 'ring-page-order', [0, 4], 'at most what the backend offers', '0'),
      number('frontend', 'num-ring-pages', [1, 16], 'the older form of ring-page-order, a power of two', '1'),
      perQueue(number('frontend', 'ring-ref', [0, GREF_MAX], 'the ring of one page')),
      perQueue(
        number(
          'frontend',
          'ring-ref%',
          [0, GREF_MAX],
          'from 0: the pages of a ring whose ring-page-order is given',
        ),
      ),
      perQueue(number('frontend', 'event-channel', [1, PORT_MAX], 'the port')),
      number('frontend', 'multi-queue-num-queues', [1, 64], 'at most what the backend offers', '1'),
      flag('frontend', 'feature-persistent', 'the same grants are used again and again'),
      flag(
        'frontend',
        'feature-large-sector-size',
        'neither written nor obeyed: 512-byte units are what all mean',
      ),
    ]),
  ],
};

export type BlkifProtocol = 'x86_64-abi' | 'x86_32-abi' | 'arm-abi';

/** What a backend has published, by which a frontend's answer is measured. */
export interface VbdOffer {
  readonly maxRingPageOrder: number;
  readonly maxQueues: number;
  /** What a frontend means that names no protocol. */
  readonly protocol: BlkifProtocol;
}

/** One ring: its pages in order, and its port. */
export interface VbdQueue {
  readonly ringRefs: readonly number[];
  readonly eventChannel: number;
}

/** What a frontend asks for, checked against the offer. */
export interface VbdFrontKeys {
  readonly protocol: BlkifProtocol;
  readonly persistent: boolean;
  /** All rings have the same number of pages. */
  readonly queues: readonly VbdQueue[];
}

/** Reads a frontend's directory, for a backend. */
export function* readVbdFront(offer: VbdOffer): KeyReader<VbdFrontKeys> {
  const check = new Checker();
  const protocol = check.word(
    'protocol',
    yield 'protocol',
    ['x86_64-abi', 'x86_32-abi', 'arm-abi'],
    offer.protocol,
  );
  const persistent = check.flag('feature-persistent', yield 'feature-persistent');
  const count = check.number('multi-queue-num-queues', yield 'multi-queue-num-queues', 1, offer.maxQueues, 1);
  const pages = yield* ringPages(check, offer.maxRingPageOrder);
  const queues: VbdQueue[] = [];
  for (let queue = 0; queue < count && check.ok; queue++) {
    const at = count === 1 ? '' : `queue-${queue}/`;
    const eventChannel = check.port(`${at}event-channel`, yield `${at}event-channel`);
    const ringRefs: number[] = [];
    for (let page = 0; page < (pages ?? 1) && check.ok; page++) {
      // A ring of one page may be announced with an order, and then be named either way: backends differ, and so do frontends.
      let key = pages === undefined ? `${at}ring-ref` : `${at}ring-ref${page}`;
      let text = yield key;
      if (text === undefined && pages === 1) {
        key = `${at}ring-ref`;
        text = yield key;
      }
      ringRefs.push(check.gref(key, text));
    }
    queues.push({ ringRefs, eventChannel });
  }
  return check.result({ protocol, persistent, queues });
}

/** Pages of each ring; `undefined`: one, named without a number. The older key counts pages, the newer one has their logarithm. */
function* ringPages(
  check: Checker,
  maxOrder: number,
): Generator<string, number | undefined, string | undefined> {
  const order = yield 'ring-page-order';
  if (order !== undefined) return 1 << check.number('ring-page-order', order, 0, maxOrder);
  const text = yield 'num-ring-pages';
  if (text === undefined) return undefined;
  const pages = check.number('num-ring-pages', text, 1, 1 << maxOrder);
  if ((pages & (pages - 1)) !== 0) check.fail('num-ring-pages', `${pages} is not a power of two`);
  return pages;
}

/** What the toolstack has ordered. */
export interface VbdOrder {
  readonly params: string;
  readonly writable: boolean;
  readonly type: string;
  readonly deviceType: 'disk' | 'cdrom' | 'floppy';
  readonly removable: boolean;
  readonly discard: boolean;
}

/** Reads the own directory, for a backend. */
export function* readVbdOrder(): KeyReader<VbdOrder> {
  const check = new Checker();
  const mode = check.word('mode', yield 'mode', ['r', 'w', 'w!', 'r!'], 'r');
  return check.result({
    params: check.text('params', yield 'params', 4096),
    writable: mode.startsWith('w'),
    type: check.text('type', yield 'type', 64, 'phy'),
    deviceType: check.word('device-type', yield 'device-type', ['disk', 'cdrom', 'floppy'], 'disk'),
    removable: check.flag('removable', yield 'removable'),
    discard: check.flag('discard-enable', yield 'discard-enable', 1),
  });
}

/** What a backend offers and what the disk is like, as its frontend sees it. */
export interface VbdBackKeys {
  /** Before Connected the size is not known, and this 0. */
  readonly sectors: number;
  readonly sectorSize: number;
  readonly physicalSectorSize: number;
  readonly info: number;
  readonly maxRingPageOrder: number;
  readonly maxQueues: number;
  /** 0: no indirect requests. */
  readonly maxIndirectSegments: number;
  readonly persistent: boolean;
  readonly flush: boolean;
  readonly barrier: boolean;
  readonly discard:
    | { readonly granularity: number; readonly alignment: number; readonly secure: boolean }
    | undefined;
}

/** Reads a backend's directory, for a frontend: the features at InitWait, all of it at Connected. */
export function* readVbdBack(): KeyReader<VbdBackKeys> {
  const check = new Checker();
  const sectorSize = check.number('sector-size', yield 'sector-size', 512, 4096, 512);
  if ((sectorSize & (sectorSize - 1)) !== 0) check.fail('sector-size', `${sectorSize} is not a power of two`);
  const discard = check.flag('feature-discard', yield 'feature-discard');
  return check.result({
    sectors: check.number('sectors', yield 'sectors', 0, Number.MAX_SAFE_INTEGER, 0),
    sectorSize,
    physicalSectorSize: check.number(
      'physical-sector-size',
      yield 'physical-sector-size',
      512,
      GREF_MAX,
      sectorSize,
    ),
    info: check.number('info', yield 'info', 0, GREF_MAX, 0),
    maxRingPageOrder: check.number('max-ring-page-order', yield 'max-ring-page-order', 0, 31, 0),
    maxQueues: check.number('multi-queue-max-queues', yield 'multi-queue-max-queues', 1, GREF_MAX, 1),
    maxIndirectSegments: check.number(
      'feature-max-indirect-segments',
      yield 'feature-max-indirect-segments',
      0,
      GREF_MAX,
      0,
    ),
    persistent: check.flag('feature-persistent', yield 'feature-persistent'),
    flush: check.flag('feature-flush-cache', yield 'feature-flush-cache'),
    barrier: check.flag('feature-barrier', yield 'feature-barrier'),
    discard: discard
      ? {
          granularity: check.number(
            'discard-granularity',
            yield 'discard-granularity',
            1,
            GREF_MAX,
            sectorSize,
          ),
          alignment: check.number('discard-alignment', yield 'discard-alignment', 0, GREF_MAX, 0),
          secure: check.flag('discard-secure', yield 'discard-secure'),
        }
      : undefined,
  });
}
