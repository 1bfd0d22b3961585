/** The file that the benches of disks work on: 256 MiB, all of them written, so that no block is a hole. */
import { closeSync, openSync, writeSync } from 'node:fs';

const MIB = 1 << 20;
const IMAGE_BYTES: number = 256 * MIB;

export function prepareImage(path: string): void {
  const chunk = Buffer.alloc(MIB, 0x5a);
  const fd = openSync(path, 'w');
  for (let at = 0; at < IMAGE_BYTES; at += MIB) writeSync(fd, chunk);
  closeSync(fd);
}
