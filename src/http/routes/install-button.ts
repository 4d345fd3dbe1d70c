/** `GET /install-button.js`, and the modules that it loads for visitors who need them (docs/install-button.md). */

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { buttonModules } from '../../browser/package/modules.ts';
import type { Config } from '../../config/config.ts';

/**
 * Any page may load them, because they contain nothing about the visitor. Caches revalidate soon, so that fixes arrive.
 */
const HEADERS = {
  'access-control-allow-origin': '*',
  'cache-control': 'public, max-age=300',
  'cross-origin-resource-policy': 'cross-origin',
  vary: 'accept-encoding',
};

/** Adds one path for each module, with an ETag. */
export const installButtonRoute =
  ({ buttonErrorsShare }: Pick<Config, 'buttonErrorsShare'>): FastifyPluginAsyncZod =>
  async (app) => {
    for (const [name, source] of Object.entries(buttonModules())) {
      const text = source.replace('WEBDIST_BUTTON_ERRORS', String(buttonErrorsShare));
      const zipped = gzipSync(text, { level: 9 });
      const digest = createHash('sha256').update(text).digest('base64url').slice(0, 22);
      app.get(`/${name}`, { schema: { summary: 'A browser module of <install-button>' } }, async (request, reply) => {
        const isZipped = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(request.headers['accept-encoding'] ?? ''));
        const etag = `"${digest}${isZipped ? '-gzip' : ''}"`;
        reply.headers(HEADERS).header('etag', etag).type('text/javascript; charset=utf-8');
        if (request.headers['if-none-match'] === etag) return reply.code(304).send();
        if (isZipped) reply.header('content-encoding', 'gzip');
        return reply.send(isZipped ? zipped : text);
      });
    }
  };
