/** The machine-readable description of the API, made from the routes' own schemas, and a page of it. */

import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { type FastifyPluginAsyncZod, jsonSchemaTransform } from 'fastify-type-provider-zod';
import { version } from '../version.ts';

/** Gives an instance OpenAPI 3.1 at `/openapi.json` and a page at `/docs`, both of these routes. */
export async function describe(app: FastifyInstance, routes: FastifyPluginAsyncZod): Promise<FastifyInstance> {
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
