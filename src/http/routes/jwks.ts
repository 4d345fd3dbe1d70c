/** `GET /.well-known/jwks.json`: the public keys, for anyone who verifies tokens. Makes no remote call. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Service } from '../../service/service.ts';

/** A cache may keep the answer for a minute. */
export const jwksRoute =
  (service: Pick<Service, 'jwks'>): FastifyPluginAsyncZod =>
  async (app) => {
    const schema = { summary: 'The registered public keys, by key id (RFC 7517)' };
    app.get('/.well-known/jwks.json', { schema }, async (_request, reply) =>
      reply
        .header('cache-control', 'public, max-age=60')
        .type('application/jwk-set+json')
        .send(JSON.stringify(service.jwks())),
    );
  };
