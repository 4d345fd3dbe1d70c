/** The scope of operators and their tools: health, metrics and the description of the API. */

import type { FastifyInstance } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Metrics } from '../../metrics.ts';
import { docsRoutes } from '../docs.ts';
import { describeScope } from '../operation.ts';
import { type HealthDeps, healthRoutes } from '../routes/health.ts';
import { metricsRoute } from '../routes/metrics.ts';

type Limits = { readonly limitRequests: (scope: FastifyInstance, max?: number) => Promise<void> };

/** The probes of a load balancer must never be refused, and they come from few addresses. */
const HEALTH_REQUESTS_A_MINUTE = 6000;

/** Health. It needs no credential, and no response is cached. */
export const healthScope =
  ({ limitRequests, ...deps }: HealthDeps & Limits): FastifyPluginAsyncZod =>
  async (scope) => {
    describeScope(scope, { tag: 'operations', callers: [] });
    neverCached(scope);
    await limitRequests(scope, HEALTH_REQUESTS_A_MINUTE);
    await scope.register(healthRoutes(deps));
  };

/** Metrics. They need no credential either, so a proxy must not expose them where there is no operator port. */
export const metricsScope =
  ({ limitRequests, metrics }: Limits & { readonly metrics: Metrics }): FastifyPluginAsyncZod =>
  async (scope) => {
    describeScope(scope, { tag: 'operations', callers: [] });
    neverCached(scope);
    await limitRequests(scope);
    await scope.register(metricsRoute(metrics));
  };

const neverCached = (scope: FastifyInstance) =>
  scope.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
  });

/**
 * `/openapi.json` and `/docs`, which describe `api`. `newInstance` makes the Fastify instance that answers there, and
 * `origin` is the origin of the service in the examples.
 */
export const docsScope = (
  api: FastifyPluginAsyncZod,
  newInstance: () => FastifyInstance,
  origin: string,
): FastifyPluginAsyncZod =>
  docsRoutes(async () => (await import('../description.ts')).describeApi(newInstance(), api, origin));
