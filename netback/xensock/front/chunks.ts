/**
 * Memory that streams receive into and hand to the program: pieces of larger blocks, so that a thousand small messages need one allocation. What was
 * handed out is the program's, and never written to again.
 */

/** What Node's own sockets read at a time. */
const BLOCK_BYTES = 65_536;
/** With less than this left a block is not used further: reads would become small ones. */
const LEAST_BYTES = 16_384;

let block: Buffer = Buffer.alloc(0);

/** Room for the next read; `taken` says how much of it was used, before anybody asks for room again. */
export function room(): Buffer {
  if (block.length < LEAST_BYTES) block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  return block;
}

/** The bytes that were read into `room()`. */
export function taken(bytes: number): Buffer {
  const piece = bytes === block.length ? block : block.subarray(0, bytes);
  block = block.subarray(bytes);
  return piece;
}
