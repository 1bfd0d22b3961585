/**
 * Where the store's ring is for a daemon in a Linux control domain, and how everybody else reaches the store: through the kernel, which owns
 * this domain's rings. (linux/drivers/xen/xenfs/xenstored.c, drivers/xen/xenbus/xenbus_dev_backend.c)
 */
import { existsSync, readFileSync } from 'node:fs';
import type { ConsoleAttachment, RingAttachment, StoreAttachment } from '../attach.ts';
import { Errno, OsError } from '../errno.ts';
import { close, errno, open } from '../os/ffi.ts';
import { DeviceMapping, mapDevice } from './area.ts';
import { closeDevice, control, devices, ioc, openDevice } from './device.ts';

/** The control domain, whose kernel has the ring. */
const DOM0 = 0;
const XSD_KVA = '/proc/xen/xsd_kva';
const XSD_PORT = '/proc/xen/xsd_port';
const CAPABILITIES = '/proc/xen/capabilities';
const XENBUS: readonly string[] = ['/dev/xen/xenbus', '/proc/xen/xenbus'];
const XENBUS_BACKEND_EVTCHN = ioc('B', 0, 0);
const O_RDWR_CLOEXEC = 0o2000002;

/** Whether this is the control domain of real Xen. */
export function isControlDomain(): boolean {
  return existsSync(devices.xenbusBackend.path) || textOf(CAPABILITIES).includes('control_d');
}

export const storeAttachment: StoreAttachment = {
  ring(): RingAttachment {
    throw owned('store');
  },

  get device() {
    return XENBUS.find((path) => existsSync(path));
  },

  kernelRing() {
    const ring = existsSync(XSD_KVA) ? ringOfXenfs() : ringOfBackend();
    return ring && { ...ring, domid: DOM0 };
  },
};

export const consoleAttachment: ConsoleAttachment = {
  ring(): RingAttachment {
    throw owned('console');
  },
};

function owned(what: string): OsError {
  return new OsError(Errno.ENOENT, `the ${what} ring of this domain is its kernel's`);
}

function ringOfXenfs(): RingAttachment {
  const port = Number(textOf(XSD_PORT));
  if (!(port > 0)) throw new OsError(Errno.ENODEV, `${XSD_PORT}: the kernel's store is elsewhere already`);
  const fd = open(XSD_KVA, O_RDWR_CLOEXEC, 0);
  if (fd < 0) throw new OsError(errno(), `opening ${XSD_KVA}: must be run as root`);
  try {
    return { page: mapPage(fd, XSD_KVA), port };
  } finally {
    close(fd);
  }
}

/** Where xenfs is not mounted. `undefined`: no control domain, or the kernel has its store elsewhere. */
function ringOfBackend(): RingAttachment | undefined {
  if (!existsSync(devices.xenbusBackend.path)) return undefined;
  const fd = openDevice(devices.xenbusBackend);
  try {
    const port = control(fd, XENBUS_BACKEND_EVTCHN, null, devices.xenbusBackend.path);
    return { page: mapPage(fd, devices.xenbusBackend.path), port };
  } finally {
    closeDevice(fd);
  }
}

function mapPage(fd: number, path: string): DeviceMapping {
  return new DeviceMapping(mapDevice({ fd, offset: 0, pages: 1, protection: 'rw' }, `mapping ${path}`));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
