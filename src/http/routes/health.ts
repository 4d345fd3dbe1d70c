/** Health (docs/http-api.md, "Health"). Nothing here makes a remote call. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { ServerDeps } from '../../service/service.ts';

/** The sources of the answer. */
export type HealthDeps = Pick<ServerDeps, 'service' | 'config'> & {
  /** Reports "not ready" although the service could sign. */
  readonly isShuttingDown: () => boolean;
  /** False if anyone can send the request. The status is enough for a load balancer. */
  readonly hasBody: boolean;
};

/** `/health/live` and `/livez`; `/health/ready` and `/readyz`, with 503 while not ready. */
export const healthRoutes =
  ({ service, config, isShuttingDown, hasBody }: HealthDeps): FastifyPluginAsyncZod =>
  async (app) => {
    for (const url of ['/health/live', '/livez'])
      app.get(url, { schema: { summary: 'Whether the process can answer' } }, async (_request, reply) =>
        reply.send(hasBody ? { live: true, mode: config.mode } : undefined),
      );
    for (const url of ['/health/ready', '/readyz'])
      app.get(
        url,
        { schema: { summary: 'Whether this process can sign now, and the state of what it depends on' } },
        async (_request, reply) => {
          const health = service.health();
          const shuttingDown = isShuttingDown();
          const ready = health.ready && !shuttingDown;
          return reply.code(ready ? 200 : 503).send(hasBody ? { ...health, ready, shuttingDown } : undefined);
        },
      );
  };
