/**
 * What goes wrong with the store on disk, told in one line that says what to do. Thrown by io alone, at start or when a commit cannot be
 * written; knows nothing else.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
}

/** For a file of the database that does not read back. */
export function damaged(file: string, directory: string, what: string): DatabaseError {
  return new DatabaseError(
    `${file}: ${what}; the store cannot be read back: move ${directory} away to start with an empty store ` +
      '(running guests must then be restarted), or put back a copy of it',
  );
}
