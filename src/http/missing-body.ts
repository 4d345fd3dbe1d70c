/**
 * Treats a missing body as an empty JSON object, so that `POST /install-token` needs none (docs/http-api.md). The
 * schema of a route then names the field that it requires.
 */

import type { FastifyInstance } from 'fastify';

/** Replaces Fastify's parser of `application/json`, which refuses an empty body. */
export function acceptMissingBodies(instance: FastifyInstance): void {
  // `__proto__` is a member like any other to JSON.parse and to the schemas, which refuse or ignore unknown members.
  const parseJson = instance.getDefaultJsonParser('ignore', 'ignore');
  instance.removeContentTypeParser('application/json');
  instance.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, {});
    else parseJson(request, body, done);
  });
  instance.addHook('onRequest', (request, _, done) => {
    // No type describes no bytes. `curl -d ''` sends one that is refused otherwise.
    if (request.headers['content-length'] === '0') delete request.headers['content-type'];
    done();
  });
  instance.addHook('preValidation', (request, _, done) => {
    if (request.method === 'POST' && request.body === undefined) request.body = {};
    done();
  });
}
