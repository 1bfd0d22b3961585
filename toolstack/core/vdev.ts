/**
 * The numbers of virtual disks: what `xvda`, `sdb3` or `d0p1` is called in the store. Follows xen-vbd-interface(7).
 */

/** What a name for a disk has to be like. */
export const VDEV_FORMS = 'xvda (xvdb2, sda, hdc, d0p1 ...)';

interface Family {
  /** Disks are counted by letters: a, b, ... z, aa. */
  readonly letters: RegExp;
  readonly maxDisk: number;
  readonly maxPartition: number;
  readonly number: (disk: number, partition: number) => number;
}

const families: readonly Family[] = [
  {
    letters: /^xvd([a-z]{1,5})(\d*)$/,
    maxDisk: 2 ** 20 - 1,
    maxPartition: 255,
    number: xvd,
  },
  {
    letters: /^hd([a-z]{1,5})(\d*)$/,
    maxDisk: 3,
    maxPartition: 63,
    number: (disk, partition) => ((disk < 2 ? 3 : 22) << 8) | ((disk & 1) << 6) | partition,
  },
  {
    letters: /^sd([a-z]{1,5})(\d*)$/,
    maxDisk: 15,
    maxPartition: 15,
    number: (disk, partition) => (8 << 8) | (disk << 4) | partition,
  },
];

/** The number that names a disk in the store; undefined: no such name. A number of one's own, `51712` or `0xca00`, stands for itself. */
export function diskNumber(vdev: string): number | undefined {
  const plain = /^d(\d{1,7})p(\d{1,3})$/.exec(vdev);
  if (plain !== null) {
    const [disk, partition] = [Number(plain[1]), Number(plain[2])];
    return disk < 2 ** 20 && partition < 256 ? xvd(disk, partition) : undefined;
  }
  if (/^(0x[0-9a-f]{1,8}|0[0-7]{0,11}|[1-9]\d{0,9})$/i.test(vdev)) {
    const number = /^0[0-7]+$/.test(vdev) ? Number.parseInt(vdev, 8) : Number(vdev);
    return number < 2 ** 31 ? number : undefined;
  }
  for (const { letters, maxDisk, maxPartition, number } of families) {
    const match = letters.exec(vdev);
    if (match === null) continue;
    const disk = diskOf(match[1]!);
    const partition = Number(match[2]);
    const padded = match[2]!.startsWith('0');
    return disk <= maxDisk && partition <= maxPartition && !padded ? number(disk, partition) : undefined;
  }
  return undefined;
}

function xvd(disk: number, partition: number): number {
  return disk < 16 && partition < 16
    ? (202 << 8) | (disk << 4) | partition
    : (1 << 28) | (disk << 8) | partition;
}

/** As spreadsheets count their columns, from 0. */
function diskOf(letters: string): number {
  return [...letters].reduce((sum, letter) => (sum + 1) * 26 + letter.charCodeAt(0) - 97, -1);
}
