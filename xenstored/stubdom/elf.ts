/**
 * A Linux kernel's ELF notes to Xen. A kernel that says it can be entered as a PVH guest is built as one by init-xenstore-domain, and then
 * waits for a store for ever; with that one note hidden it is built as a PV guest. Knows nothing else of ELF. (xen/include/public/elfnote.h)
 */

const PT_NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY: where a PVH guest begins. */
const PHYS32_ENTRY = 18;
/** No note of Xen's, and readers pass over what they do not know. */
const HIDDEN = 0x7f00 | PHYS32_ENTRY;

/** A copy without the note of a PVH entry point; the same bytes if it has none. Throws when it is no 64-bit little-endian ELF file. */
export function withoutPvh(kernel: Uint8Array): Buffer {
  const elf = Buffer.from(kernel);
  if (elf.length < 64 || elf.toString('latin1', 0, 6) !== '\x7fELF\x02\x01')
    throw new Error('the kernel is not a 64-bit ELF file');
  const headers = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  for (let index = 0; index < elf.readUInt16LE(56); index++) {
    const header = headers + index * size;
    if (elf.readUInt32LE(header) === PT_NOTE) hideIn(elf, header);
  }
  return elf;
}

/** Notes lie one behind the other: lengths of name and description, type, then both, each filled up to four bytes. */
function hideIn(elf: Buffer, header: number): void {
  const start = Number(elf.readBigUInt64LE(header + 8));
  const end = Math.min(start + Number(elf.readBigUInt64LE(header + 32)), elf.length);
  for (let note = start; note + 12 <= end; ) {
    const [name, description, type] = [0, 4, 8].map((at) => elf.readUInt32LE(note + at)) as [
      number,
      number,
      number,
    ];
    const xen = elf.toString('latin1', note + 12, note + 12 + name) === 'Xen\0';
    if (xen && type === PHYS32_ENTRY) elf.writeUInt32LE(HIDDEN, note + 8);
    note += 12 + fourth(name) + fourth(description);
  }
}

function fourth(length: number): number {
  return (length + 3) & ~3;
}
