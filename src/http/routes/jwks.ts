/** `GET /.well-known/jwks.json`: the public keys, for anyone who verifies tokens. Makes no remote call. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Service } from '../../service/service.ts';

const jwk = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  kid: z.string(),
  use: z.literal('sig'),
  alg: z.literal('ES256'),
});
const jwks = z.object({ keys: z.array(jwk) });

/** A cache may keep the answer for a minute. */
export const jwksRoute =
  (service: Pick<Service, 'jwks'>): FastifyPluginAsyncZod =>
  async (app) => {
    const schema = {
      operationId: 'getJwks',
      summary: 'The registered public keys, by key id (RFC 7517)',
      described: {
        response: { 200: { description: 'A JWK Set', content: { 'application/jwk-set+json': { schema: jwks } } } },
      },
    };
    app.get('/.well-known/jwks.json', { schema }, async (_request, reply) =>
      reply
        .header('cache-control', 'public, max-age=60')
        .type('application/jwk-set+json')
        .send(JSON.stringify(service.jwks())),
    );
  };
