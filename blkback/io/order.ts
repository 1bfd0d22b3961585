/**
 * What a toolstack has ordered in a disk's backend directory, as a medium: libxl's `params`, with a format in front for some types, and
 * what its hotplug script has found out (`physical-device`). Opens nothing.
 * See xen/include/public/io/blkif.h.
 */
import type { KeyReader } from '../../xenstored/xenbus/value.ts';
import { readVbdOrder, type VbdOrder } from '../../xenstored/xenbus/vbd.ts';
import type { MediumOrder } from './medium.ts';

export interface DiskOrder extends MediumOrder {
  readonly vbd: VbdOrder;
  /** The medium may change. */
  readonly changeable: boolean;
  /** There is no medium in the drive, and no path. */
  readonly empty: boolean;
  /** A script finds the device, and has not yet. */
  readonly awaitsScript: boolean;
}

export function* readDiskOrder(): KeyReader<DiskOrder> {
  const order = yield* readVbdOrder();
  if (!order.ok) return order;
  const vbd = order.value;
  const mode = yield 'mode';
  const script = yield 'script';
  const byName = yield 'physical-device-path';
  const byNumber = yield 'physical-device';
  const found = byName || numbered(byNumber);
  const changeable = vbd.removable || vbd.deviceType === 'cdrom';
  const empty = changeable && vbd.params === '';
  const path = empty ? '' : (found ?? plain(vbd.params));
  if (typeof path !== 'string') return { ok: false, error: path.error };
  return {
    ok: true,
    value: {
      vbd,
      path,
      changeable,
      empty,
      writable: vbd.writable,
      shared: mode?.endsWith('!') === true,
      discard: vbd.discard && vbd.writable,
      awaitsScript: !empty && script !== undefined && script !== '' && found === undefined,
    },
  };
}

/** `fd:1`, in hexadecimal, as scripts write it. */
function numbered(text: string | undefined): string | undefined {
  const match = /^([0-9a-f]{1,4}):([0-9a-f]{1,6})$/i.exec(text ?? '');
  return match === null
    ? undefined
    : `/dev/block/${Number.parseInt(match[1]!, 16)}:${Number.parseInt(match[2]!, 16)}`;
}

/** Without the format that libxl puts in front; a name without a slash in front is one below /dev. */
function plain(params: string): string | { readonly error: string } {
  const match = /^(?:([a-z0-9]+):)?(.*)$/s.exec(params)!;
  const [, format, path] = match;
  if (format !== undefined && !['aio', 'raw', 'phy', 'file'].includes(format))
    return { error: `params: ${format} is no format that is served` };
  if (path === undefined || path === '') return { error: 'params: no file or device' };
  return path.startsWith('/') ? path : `/dev/${path}`;
}
