/**
 * How a request to a store fails. Knows no transport: a lost connection is just another code.
 */

/**
 * `code` is the name of an error number. From the server: those of xs_wire.h (an unknown name reads as EINVAL). Made here: `E2BIG` a request too
 * long to be sent; `EINVAL` a NUL where none may be; `ECONNRESET` the connection was lost before the answer came, and the request may or
 * may not have been done; `ENOTCONN` the client is closed; `EPROTO` an answer that makes no sense; and, in a transaction, `EAGAIN` its
 * connection was lost.
 */
export class XenstoreError extends Error {
  override readonly name = 'XenstoreError';
  readonly code: string;
  /** The request, by its name on the wire, such as `READ`. */
  readonly op: string;
  /** What it was about, if anything: mostly a path. */
  readonly path: string | undefined;

  constructor(code: string, op: string, path?: string, options?: ErrorOptions) {
    super(path === undefined ? `${op}: ${code}` : `${op} ${path}: ${code}`, options);
    this.code = code;
    this.op = op;
    this.path = path;
  }
}
