/**
 * The smallest PV kernel there is: one page of code that switches its domain off. For guests that are only to exist, or to come and go at
 * once; libxl does for them all that it does for others. An ELF file with Xen's notes (public/elfnote.h), made here from nothing.
 */

/** Where its one page is loaded: virtual = VIRT_BASE + physical. */
const VIRT_BASE = 0xffffffff80000000n;
const PAGE = 4096;
const HEADER = 64;
const SEGMENT = 56;
/** public/elfnote.h: numbers of XEN_ELFNOTE_*. */
const ENTRY = 1;
const VIRT_BASE_NOTE = 3;
const XEN_VERSION = 5;
const GUEST_OS = 6;
const LOADER = 8;
const PAE_MODE = 9;

/** sched_op(SCHEDOP_shutdown, &{ reason: SHUTDOWN_poweroff }), then that argument. */
const CODE = [
  ...[0xb8, 29, 0, 0, 0], // mov eax, __HYPERVISOR_sched_op
  ...[0xbf, 2, 0, 0, 0], // mov edi, SCHEDOP_shutdown
  ...[0x48, 0x8d, 0x35, 2, 0, 0, 0], // lea rsi, [rip + 2]
  ...[0x0f, 0x05], // syscall
  ...[0, 0, 0, 0],
];

export function stillKernel(): Uint8Array {
  const notes = Buffer.concat([
    note(ENTRY, address(VIRT_BASE)),
    note(VIRT_BASE_NOTE, address(VIRT_BASE)),
    note(XEN_VERSION, text('xen-3.0')),
    note(GUEST_OS, text('still')),
    note(LOADER, text('generic')),
    note(PAE_MODE, text('yes')),
  ]);
  const file = Buffer.alloc(2 * PAGE);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(62, 18); // EM_X86_64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(VIRT_BASE, 24); // e_entry
  file.writeBigUInt64LE(BigInt(HEADER), 32); // e_phoff
  file.writeUInt16LE(HEADER, 52);
  file.writeUInt16LE(SEGMENT, 54);
  file.writeUInt16LE(2, 56); // e_phnum
  const notesAt = HEADER + 2 * SEGMENT;
  segment(file, HEADER, { type: 1, flags: 7, offset: PAGE, address: VIRT_BASE, size: PAGE });
  segment(file, HEADER + SEGMENT, { type: 4, flags: 4, offset: notesAt, address: 0n, size: notes.length });
  notes.copy(file, notesAt);
  file.set(CODE, PAGE);
  return file;
}

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: bigint;
  readonly size: number;
}

function segment(file: Buffer, at: number, { type, flags, offset, address, size }: Segment): void {
  file.writeUInt32LE(type, at);
  file.writeUInt32LE(flags, at + 4);
  file.writeBigUInt64LE(BigInt(offset), at + 8);
  file.writeBigUInt64LE(address, at + 16);
  file.writeBigUInt64LE(address === 0n ? 0n : address - VIRT_BASE, at + 24);
  file.writeBigUInt64LE(BigInt(size), at + 32);
  file.writeBigUInt64LE(BigInt(size), at + 40);
  file.writeBigUInt64LE(BigInt(type === 1 ? PAGE : 4), at + 48);
}

function note(type: number, value: Buffer): Buffer {
  const padded = Buffer.alloc(12 + 4 + Math.ceil(value.length / 4) * 4);
  padded.writeUInt32LE(4, 0);
  padded.writeUInt32LE(value.length, 4);
  padded.writeUInt32LE(type, 8);
  padded.write('Xen\0', 12);
  value.copy(padded, 16);
  return padded;
}

function address(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}
