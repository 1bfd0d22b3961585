/**
 * Serves the web page: a document at `/`, and what it is made of below a path that has a hash of all of it in its name, so that browsers may
 * keep that for ever. The scripts are in the build, sheets and images beside their sources. Nothing here says anything of a store.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import serveFiles from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** Nothing from elsewhere, nothing inline, no markup made of strings, in nobody's frame. */
const POLICY: string = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const served = /\.(js|css|svg)$/;

const headers: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** Throws with one line if this copy was never built. */
export async function servePage(app: FastifyInstance): Promise<void> {
  const { scripts, rest } = folders();
  const hash = createHash('sha256');
  for (const folder of [scripts, rest])
    for (const name of readdirSync(folder).sort())
      if (served.test(name)) hash.update(readFileSync(join(folder, name)));
  const version = hash.digest('base64url').slice(0, 16);
  const document = readFileSync(join(rest, 'index.html'), 'utf8').replaceAll(
    '"assets/',
    `"assets/${version}/`,
  );
  const etag = `"${version}-${createHash('sha256').update(document).digest('base64url').slice(0, 8)}"`;

  app.get('/', { config: { open: true }, schema: { hide: true } }, (request, reply) => {
    reply.headers({
      ...headers,
      etag,
      'cache-control': 'no-cache',
      'content-type': 'text/html; charset=utf-8',
    });
    if (request.headers['if-none-match'] === etag) return reply.code(304).send();
    return reply.send(document);
  });
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, open: true };
      route.schema = { ...route.schema, hide: true };
    });
    await scope.register(serveFiles, {
      root: [rest, scripts],
      prefix: `/assets/${version}/`,
      index: false,
      decorateReply: false,
      immutable: true,
      maxAge: '365d',
      allowedPath: (path) => served.test(path),
      setHeaders: (reply) => {
        reply.headers(headers);
      },
    });
  });
}

function folders(): { readonly scripts: string; readonly rest: string } {
  const here = dirname(fileURLToPath(import.meta.url));
  let top = here;
  while (!existsSync(join(top, 'package.json'))) top = dirname(top);
  const scripts = join(top, 'dist/xenstored/admin/page');
  if (!existsSync(join(scripts, 'main.js'))) throw new Error(`${scripts}: the web page is not built`);
  return { scripts, rest: join(top, 'xenstored/admin/page/static') };
}
