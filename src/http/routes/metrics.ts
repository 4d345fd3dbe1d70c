/** `GET /metrics` (docs/metrics.md). */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Metrics } from '../../metrics.ts';

/** The registry as Prometheus text. */
export const metricsRoute =
  ({ registry }: Pick<Metrics, 'registry'>): FastifyPluginAsyncZod =>
  async (app) => {
    app.get('/metrics', { schema: { summary: 'Prometheus metrics' } }, async (_request, reply) =>
      reply.type(registry.contentType).send(await registry.metrics()),
    );
  };
