/** How the bodies of requests are read: a missing one is an empty JSON object, and an encoded one is refused. */

import type { FastifyInstance } from 'fastify';
import { WebdistError } from '../errors.ts';

/**
 * Replaces Fastify's parser of `application/json`, which refuses an empty body. `POST /install-token` needs no body
 * (docs/http-api.md). For other routes, the schema then reports the missing field.
 */
export function acceptMissingBodies(instance: FastifyInstance): void {
  // `__proto__` is a member like any other to JSON.parse and to the schemas, which refuse or ignore unknown members.
  const parseJson = instance.getDefaultJsonParser('ignore', 'ignore');
  instance.removeContentTypeParser('application/json');
  instance.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, {});
    else parseJson(request, body, done);
  });
  instance.addHook('onRequest', (request, _, done) => {
    // Without bytes, the content type does not matter. `curl -d ''` sends a type that would be refused.
    if (request.headers['content-length'] === '0') delete request.headers['content-type'];
    done();
  });
  instance.addHook('preValidation', (request, _, done) => {
    if (request.method === 'POST' && request.body === undefined) request.body = {};
    done();
  });
}

/**
 * Refuses a body with a content coding (RFC 9110 §8.4): bodies are too small to benefit from one, and it could be a
 * decompression bomb. A transfer coding besides `chunked` (RFC 9112 §7) is refused too: Node ignores it.
 */
export function refuseEncodedBodies(instance: FastifyInstance): void {
  // Runs after all `onRequest` hooks, so that pages can read the refusal, and it counts against the limits.
  instance.addHook('preParsing', (request, reply, _payload, done) => {
    const { 'content-encoding': coding = 'identity', 'transfer-encoding': transfer = 'chunked' } = request.headers;
    if (transfer.toLowerCase() !== 'chunked')
      return done(new WebdistError('invalid_request', 'transfer-encoding: only chunked is supported.'));
    if (coding.toLowerCase() === 'identity') return done();
    reply.header('accept-encoding', 'identity');
    done(new WebdistError('unsupported_media_type', 'content-encoding: must be absent, or identity.'));
  });
}
