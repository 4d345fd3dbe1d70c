/**
 * `/openapi.json` and its page at `/docs`. They are built at the first request for them, because most processes never
 * get one, and their libraries would be a third of what start-up loads.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';

/** `make` returns the instance that answers. It must have the routes that it describes. */
export const docsRoutes =
  (make: () => Promise<FastifyInstance>): FastifyPluginAsyncZod =>
  async (app) => {
    let made: Promise<FastifyInstance> | undefined;
    const answer = async (request: FastifyRequest, reply: FastifyReply) => {
      made ??= make();
      const described = await made;
      reply.hijack();
      described.routing(request.raw, reply.raw);
    };
    for (const path of ['/openapi.json', '/docs', '/docs/*'])
      app.get(path, { schema: { hide: true } as object }, answer);
    app.addHook('onClose', async () => (await made)?.close());
  };
