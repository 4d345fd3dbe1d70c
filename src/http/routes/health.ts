/** Health, metrics and public keys (contract §5.3, §5.5). Nothing here makes a remote call. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { ServerDeps } from '../../service/service.ts';

type Deps = Pick<ServerDeps, 'service' | 'config' | 'metrics'> & { readonly isShuttingDown: () => boolean };

export const healthRoutes =
  ({ service, config, metrics, isShuttingDown }: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    for (const url of ['/health/live', '/livez'])
      app.get(url, { schema: { summary: 'Whether the process can answer' } }, async () => ({
        live: true,
        mode: config.mode,
      }));
    for (const url of ['/health/ready', '/readyz'])
      app.get(
        url,
        { schema: { summary: 'Whether this process can sign now, and the state of what it depends on' } },
        async (_request, reply) => {
          const health = service.health();
          const shuttingDown = isShuttingDown();
          const ready = health.ready && !shuttingDown;
          return reply.code(ready ? 200 : 503).send({ ...health, ready, shuttingDown });
        },
      );
    app.get('/metrics', { schema: { summary: 'Prometheus metrics' } }, async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    );
  };

export const jwksRoute =
  ({ service }: Pick<Deps, 'service'>): FastifyPluginAsyncZod =>
  async (app) => {
    const schema = { summary: 'The registered public keys, by key id (RFC 7517)' };
    app.get('/.well-known/jwks.json', { schema }, async (_request, reply) =>
      reply
        .header('cache-control', 'public, max-age=60')
        .type('application/jwk-set+json')
        .send(JSON.stringify(service.jwks())),
    );
  };
