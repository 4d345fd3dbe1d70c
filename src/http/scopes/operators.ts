/** The scope of operators and their tools: health, metrics and the description of the API. */

import type { FastifyInstance } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Config } from '../../config/config.ts';
import type { Metrics } from '../../metrics.ts';
import { docsRoutes } from '../docs.ts';
import { limitDocuments } from '../limits/documents.ts';
import { type HealthDeps, healthRoutes } from '../routes/health.ts';
import { metricsRoute } from '../routes/metrics.ts';

type Limited = { readonly metrics: Metrics; readonly rateLimit: Config['rateLimit'] };

/**
 * Adds health and metrics. They need no credential and have no limit, so a proxy must not expose them. No response is
 * cached.
 */
export const operatorScope =
  ({ metrics, rateLimit, ...deps }: HealthDeps & Limited): FastifyPluginAsyncZod =>
  async (scope) => {
    scope.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    await scope.register(healthRoutes(deps));
    await scope.register(async (limited) => {
      await limitDocuments(limited, rateLimit);
      await limited.register(metricsRoute(metrics));
    });
  };

/** `/openapi.json` and `/docs`, which describe `api`. `newInstance` makes the Fastify instance that answers there. */
export const docsScope = (api: FastifyPluginAsyncZod, newInstance: () => FastifyInstance): FastifyPluginAsyncZod =>
  docsRoutes(async () => (await import('../description.ts')).describeApi(newInstance(), api));
