/**
 * Generates the machine-readable description of the API from the schemas of the routes, and serves a page that shows
 * it.
 */

import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { type FastifyPluginAsyncZod, jsonSchemaTransform } from 'fastify-type-provider-zod';
import { version } from '../version.ts';

/** Registers `routes` with an instance and adds OpenAPI 3.1 at `/openapi.json` and a page at `/docs` that describe them. */
export async function describeApi(app: FastifyInstance, routes: FastifyPluginAsyncZod): Promise<FastifyInstance> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'webdist',
        description: 'Install verification tokens for iOS apps distributed from a website',
        version,
        license: { name: 'MIT' },
      },
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'A server-to-server API key, or a signed-in customer’s JWT',
          },
        },
      },
      security: [{}, { bearer: [] }],
    },
    transform: jsonSchemaTransform,
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.swagger());
  await app.register(routes);
  await app.ready();
  return app;
}
