/**
 * `GET /install-button.js` (contract §5.7) and the modules it loads when a visitor needs them. In a checkout the
 * sources are served with their types stripped, in `dist` what was built from them. Must not know what they do.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { gzipSync } from 'node:zlib';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';

/** Any page may load them; they hold nothing of a visitor. Caches ask again soon, so that a fix arrives. */
const HEADERS = {
  'access-control-allow-origin': '*',
  'cache-control': 'public, max-age=300',
  'cross-origin-resource-policy': 'cross-origin',
  vary: 'accept-encoding',
};

/** Lines of nothing but a comment: a phone has no use for them. */
const COMMENT_LINES = /^\s*(\/\/|\/?\*).*\n?/gm;

/** Adds one path for each module, with an ETag. */
export const installButtonRoute: FastifyPluginAsyncZod = async (app) => {
  const modules = {
    '/install-button.js': ownModule('install-button'),
    '/install-button-texts.js': ownModule('install-button-texts'),
    '/install-button-qr.js': ownModule('install-button-qr').replace("'uqr'", "'./install-button-uqr.js'"),
    '/install-button-uqr.js': readFileSync(new URL(import.meta.resolve('uqr')), 'utf8'),
  };
  for (const [path, text] of Object.entries(modules)) {
    const zipped = gzipSync(text, { level: 9 });
    const digest = createHash('sha256').update(text).digest('base64url').slice(0, 22);
    app.get(path, { schema: { summary: 'A browser module of <install-button>' } }, async (request, reply) => {
      const isZipped = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(request.headers['accept-encoding'] ?? ''));
      const etag = `"${digest}${isZipped ? '-gzip' : ''}"`;
      reply.headers(HEADERS).header('etag', etag).type('text/javascript; charset=utf-8');
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      if (isZipped) reply.header('content-encoding', 'gzip');
      return reply.send(isZipped ? zipped : text);
    });
  }
};

function ownModule(name: string): string {
  const isSource = import.meta.url.endsWith('.ts');
  const text = readFileSync(new URL(`../../browser/${name}.${isSource ? 'ts' : 'js'}`, import.meta.url), 'utf8');
  // Imports as the build rewrites them.
  const script = isSource ? stripTypeScriptTypes(text).replace(/(import\('\.\/[\w-]+)\.ts'\)/g, "$1.js')") : text;
  return script.replace(COMMENT_LINES, '');
}
