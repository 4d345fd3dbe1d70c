/** Health (docs/http-api.md, "Health"). Nothing here makes a remote call. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { ServerDeps } from '../../service/service.ts';

/** The sources of the answer. */
export type HealthDeps = Pick<ServerDeps, 'service' | 'config'> & {
  /** Reports "not ready" although the service could sign. */
  readonly isShuttingDown: () => boolean;
  /** False if anyone can send the request. The status is enough for a load balancer. */
  readonly hasBody: boolean;
};

const mode = z.enum(['production', 'sandbox']);
const live = z.object({ live: z.literal(true), mode }).describe('The process can answer');

const state = z
  .object({
    state: z.enum(['ok', 'degraded', 'down', 'off']),
    code: z.string().optional(),
    detail: z.string().optional(),
  })
  .meta({ id: 'State', description: '`degraded`: something is wrong, but signing does not need it' });
const app = z.object({ key: state, registration: state, package: state, keyId: z.string().optional() });
const health = z
  .object({
    ready: z.boolean(),
    mode,
    apps: z.record(z.string(), app).describe('By bundle id'),
    domain: state,
    clock: state,
    ledger: state,
    ledgerRead: state,
    redis: state,
    orders: state,
    shuttingDown: z.boolean(),
  })
  .meta({ id: 'Health' });

/** `/health/live` and `/livez`; `/health/ready` and `/readyz`, with 503 while not ready. */
export const healthRoutes =
  ({ service, config, isShuttingDown, hasBody }: HealthDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    for (const [url, operationId] of Object.entries({ '/health/live': 'getLive', '/livez': 'getLivez' })) {
      const described = { response: { 200: live } };
      const schema = { operationId, summary: 'Whether the process can answer', described };
      scope.get(url, { schema }, async (_request, reply) =>
        reply.send(hasBody ? { live: true, mode: config.mode } : undefined),
      );
    }
    for (const [url, operationId] of Object.entries({ '/health/ready': 'getReady', '/readyz': 'getReadyz' })) {
      const summary = 'Whether this process can sign now, and the state of what it depends on';
      const described = { response: { 200: health.describe('It can sign'), 503: health.describe('It cannot sign') } };
      scope.get(url, { schema: { operationId, summary, described } }, async (_request, reply) => {
        const answer = service.health();
        const shuttingDown = isShuttingDown();
        const ready = answer.ready && !shuttingDown;
        return reply.code(ready ? 200 : 503).send(hasBody ? { ...answer, ready, shuttingDown } : undefined);
      });
    }
  };
