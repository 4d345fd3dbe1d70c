/**
 * `webdist packages serve`: serves the packages folder to devices, for websites without a CDN. Files are served byte
 * for byte, with ranges, and never transformed (docs/apple-facts.md §5.4). A package appears only when it has been
 * pulled completely.
 */

import fastifyStatic from '@fastify/static';
import { type FastifyInstance, fastify } from 'fastify';

/** `<AppleItemID>/current/…` and `<AppleItemID>/versions/<AppleVersionID>/…`, with the files of a package. */
const PATH =
  /^\/[1-9]\d{0,19}\/(current|versions\/[1-9]\d{0,19})\/(manifest\.json|signature|(variant|delta)\/[A-Za-z0-9][\w.-]*)$/;

/** A variant or delta never changes. Manifest and signature change when Apple adds deltas, or when `current` moves. */
const FOREVER = 'public, max-age=31536000, immutable, no-transform';
const SOON = 'public, max-age=60, no-transform';

/** Builds a server; the caller makes it listen. `dir` is the folder of all packages. */
export async function buildPackageServer(dir: string): Promise<FastifyInstance> {
  const server = fastify({ routerOptions: { ignoreTrailingSlash: false } });
  server.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    if (!PATH.test(request.url.split('?', 1)[0] ?? ''))
      return reply.code(404).type('text/plain').send('No package has such a file.\n');
  });
  await server.register(fastifyStatic, {
    root: dir,
    index: false,
    acceptRanges: true,
    cacheControl: false,
    setHeaders(reply, path) {
      const isAsset = /[/\\](variant|delta)[/\\]/.test(path);
      reply.header('cache-control', isAsset ? FOREVER : SOON);
      reply.header('content-type', path.endsWith('manifest.json') ? 'application/json' : 'application/octet-stream');
    },
  });
  return server;
}
