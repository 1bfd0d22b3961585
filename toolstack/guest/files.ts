/**
 * Files by HTTP: GET and HEAD, one range of bytes, types by their names; a path that ends in `/` means its index.html. Answers from wherever
 * `Files` has them, and knows neither sockets nor disks. (RFC 9110)
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { lookup } from 'mrmime';
import parseRange from 'range-parser';

/** What is read and sent at a time. */
export const PIECE_BYTES: number = 1 << 16;

export interface Files<F extends { readonly size: number; readonly modified: Date }> {
  /** By a path without a leading `/`. */
  find(path: string): F | undefined;
  /** Bytes from `from` on, up to and without `to`, at most PIECE_BYTES. */
  read(file: F, from: number, to: number): Promise<Uint8Array>;
}

/** Answers one request. Rejects if the file could not be read to its end, or nobody waited for that: with an answer that says so, or the connection is over. */
export async function answer<F extends { readonly size: number; readonly modified: Date }>(
  files: Files<F>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method, url = '/', headers } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return plainly(response, 405, 'only GET and HEAD are served');
  }
  const path = pathOf(url);
  const file = path === undefined ? undefined : files.find(path);
  if (path === undefined || file === undefined) return plainly(response, 404, 'there is no such file');
  const { size, modified } = file;
  const range = method === 'GET' ? rangeOf(headers.range, size) : undefined;
  if (range === 'none of it') {
    response.setHeader('content-range', `bytes */${size}`);
    return plainly(response, 416, `there are ${size} bytes`);
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const short = method === 'GET' && end - start < PIECE_BYTES;
  let whole: Uint8Array | undefined;
  try {
    if (short && end >= start) whole = await files.read(file, start, end + 1);
  } catch (error) {
    plainly(response, 500, 'the file could not be read');
    throw error;
  }
  if (range !== undefined) response.setHeader('content-range', `bytes ${start}-${end}/${size}`);
  response.writeHead(range === undefined ? 200 : 206, {
    'content-type': typeOf(path),
    'content-length': end + 1 - start,
    'accept-ranges': 'bytes',
    'last-modified': modified.toUTCString(),
  });
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = start; at <= end; at += PIECE_BYTES)
      yield await files.read(file, at, Math.min(at + PIECE_BYTES, end + 1));
  };
  if (method === 'HEAD' || short) response.end(whole);
  // A connection that is slow holds one.
  else await pipeline(Readable.from(pieces(), { highWaterMark: 1 }), response);
}

/** undefined: it is no path. */
function pathOf(url: string): string | undefined {
  try {
    const path = decodeURIComponent(url.split(/[?#]/, 1)[0]!).replace(/^\/+/, '');
    return path === '' || path.endsWith('/') ? `${path}index.html` : path;
  } catch {
    return undefined;
  }
}

/** The first of them; undefined: all of it, as where nobody understands what was asked for. */
function rangeOf(
  header: string | undefined,
  size: number,
): { readonly start: number; readonly end: number } | 'none of it' | undefined {
  const ranges = header === undefined ? -2 : parseRange(size, header);
  if (ranges === -1) return 'none of it';
  return ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1 ? undefined : ranges[0];
}

function typeOf(path: string): string {
  const type = lookup(path) ?? 'application/octet-stream';
  return type.startsWith('text/') ? `${type}; charset=utf-8` : type;
}

function plainly(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  response
    .writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': body.length })
    .end(body);
}
