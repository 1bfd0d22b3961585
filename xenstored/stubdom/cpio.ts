/**
 * An initramfs as Linux reads it: a cpio archive of the "newc" kind. The same entries give the same bytes: no times, no owners but root.
 * Knows nothing of what is in it. (linux/Documentation/driver-api/early-userspace/buffer-format.rst)
 */

/** What stands at a path; parents come before children. Paths have no leading slash. */
export type Entry =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly bytes: Uint8Array; readonly program?: boolean }
  | { readonly kind: 'link'; readonly path: string; readonly to: string }
  | { readonly kind: 'device'; readonly path: string; readonly major: number; readonly minor: number };

const [FOLDER, FILE, LINK, DEVICE] = [0o040755, 0o100644, 0o120777, 0o020600];

/** The archive, not compressed. */
export function cpio(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry, index) => {
    const device = entry.kind === 'device' ? entry : { major: 0, minor: 0 };
    return record({ inode: index + 1, path: entry.path, mode: modeOf(entry), bytes: bytesOf(entry), device });
  });
  const end = record({ inode: 0, path: 'TRAILER!!!', mode: 0, bytes: none, device: { major: 0, minor: 0 } });
  return Buffer.concat([...parts, ...end]);
}

const none = new Uint8Array(0);

function modeOf(entry: Entry): number {
  if (entry.kind === 'file') return entry.program ? FILE | 0o111 : FILE;
  return { folder: FOLDER, link: LINK, device: DEVICE }[entry.kind];
}

function bytesOf(entry: Entry): Uint8Array {
  if (entry.kind === 'file') return entry.bytes;
  return entry.kind === 'link' ? Buffer.from(entry.to) : none;
}

interface Fields {
  readonly inode: number;
  readonly path: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
  readonly device: { readonly major: number; readonly minor: number };
}

function record({ inode, path, mode, bytes, device }: Fields): readonly Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const numbers = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, device.major, device.minor, name.length, 0];
  const header = Buffer.from(`070701${numbers.map((value) => value.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, filler(header.length + name.length), bytes, filler(bytes.length)];
}

/** Names and contents end at a multiple of four bytes. */
function filler(length: number): Buffer {
  return Buffer.alloc(-length & 3);
}
