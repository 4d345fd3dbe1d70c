/** The scope of operators and their tools: health, metrics and the description of the API. */

import type { FastifyInstance } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Metrics } from '../../metrics.ts';
import { docsRoutes } from '../docs.ts';
import { type HealthDeps, healthRoutes } from '../routes/health.ts';
import { metricsRoute } from '../routes/metrics.ts';

type Deps = HealthDeps & {
  readonly metrics: Metrics;
  readonly limitRequests: (scope: FastifyInstance, max?: number) => Promise<void>;
};

/** A load balancer must never be refused, and its probes come from few addresses. */
const HEALTH_REQUESTS_A_MINUTE = 6000;

/** Health and metrics: no credential, so a proxy must not expose them. No response is cached. */
export const operatorScope =
  ({ metrics, limitRequests, ...deps }: Deps): FastifyPluginAsyncZod =>
  async (scope) => {
    scope.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    await scope.register(async (health) => {
      await limitRequests(health, HEALTH_REQUESTS_A_MINUTE);
      await health.register(healthRoutes(deps));
    });
    await scope.register(async (limited) => {
      await limitRequests(limited);
      await limited.register(metricsRoute(metrics));
    });
  };

/** `/openapi.json` and `/docs`, which describe `api`. `newInstance` makes the Fastify instance that answers there. */
export const docsScope = (api: FastifyPluginAsyncZod, newInstance: () => FastifyInstance): FastifyPluginAsyncZod =>
  docsRoutes(async () => (await import('../description.ts')).describeApi(newInstance(), api));
