/** `GET /metrics` (docs/metrics.md). */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Metrics } from '../../metrics.ts';

/** The registry as Prometheus text. */
export const metricsRoute =
  ({ registry }: Pick<Metrics, 'registry'>): FastifyPluginAsyncZod =>
  async (app) => {
    const text = { description: 'Prometheus text', content: { 'text/plain': { schema: z.string() } } };
    const schema = { operationId: 'getMetrics', summary: 'Prometheus metrics', response: { 200: text } };
    app.get('/metrics', { schema }, async (_request, reply) =>
      reply.type(registry.contentType).send(await registry.metrics()),
    );
  };
