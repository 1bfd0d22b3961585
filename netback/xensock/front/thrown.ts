/** What a program's listeners throw: an uncaught exception, as with Node's own sockets, which costs nobody else a turn should the program survive it. */

export function apart(work: () => void): void {
  try {
    work();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
