/** Health (docs/http-api.md, "Health"). Nothing here makes a remote call. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { ServerDeps } from '../../service/service.ts';

/** The sources of the answer. */
export type HealthDeps = Pick<ServerDeps, 'service' | 'config'> & {
  /** True if "not ready" is to be reported although the service could sign. */
  readonly isShuttingDown: () => boolean;
  /** False if anyone can send the request. The status is enough for a load balancer. */
  readonly hasBody: boolean;
};

const mode = z.enum(['production', 'sandbox']);
const live = z.object({ live: z.literal(true), mode }).describe('The process can answer');

const startup = z.object({ started: z.boolean() }).describe('Whether the first check of the registration has ended');

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
    started: z.boolean(),
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

const query = z.object({ verbose: z.string().optional().describe('One line of text for each part, as in Kubernetes') });

/** Describes a response that is JSON, or text with `?verbose`. */
const either = (description: string, schema: z.ZodType) => ({
  description,
  content: { 'application/json': { schema }, 'text/plain': { schema: z.string() } },
});

/** What a probe answers: whether all is well, the JSON, and the parts for `?verbose`. */
type Probe = { readonly isWell: boolean; readonly body: object; readonly parts?: Partial<HealthBody> };
type HealthBody = z.output<typeof health>;

/** `/health/live`, `/health/ready`, `/health/startup`, and their short names; 503 while not ready, or not started. */
export const healthRoutes =
  ({ service, config, isShuttingDown, hasBody }: HealthDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    const ready = (): Probe => {
      const answer = service.health();
      const shuttingDown = isShuttingDown();
      const isWell = answer.ready && !shuttingDown;
      return { isWell, body: { ...answer, ready: isWell, shuttingDown }, parts: answer };
    };
    const started = (): Probe => {
      const answer = service.health();
      return { isWell: answer.started, body: { started: answer.started }, parts: { apps: answer.apps } };
    };
    const probes = {
      live: {
        summary: 'Whether the process can answer',
        described: { response: { 200: either('The process can answer', live) } },
        probe: (): Probe => ({ isWell: true, body: { live: true, mode: config.mode } }),
      },
      ready: {
        summary: 'Whether this process can sign now, and the state of what it depends on',
        described: { response: { 200: either('It can sign', health), 503: either('It cannot sign', health) } },
        probe: ready,
      },
      startup: {
        summary: 'Whether this process knows for each app if it can sign',
        described: {
          response: { 200: either('It knows this for each app', startup), 503: either('Not yet', startup) },
        },
        probe: started,
      },
    };
    for (const [name, { probe, ...schema }] of Object.entries(probes))
      for (const [url, operationId] of [
        [`/health/${name}`, `get${capitalized(name)}`],
        [`/${name}z`, `get${capitalized(name)}z`],
      ] as const)
        scope.get(url, { schema: { ...schema, operationId, querystring: query } }, async (request, reply) => {
          const { isWell, body, parts = {} } = probe();
          reply.code(isWell ? 200 : 503);
          if (!hasBody) return reply.send();
          if (!isOn(request.query.verbose)) return reply.send(body);
          return reply.type('text/plain; charset=utf-8').send(verboseText(name, isWell, parts));
        });
  };

/** As in Kubernetes, `?verbose` alone turns it on. */
const isOn = (text: string | undefined) => text !== undefined && !/^(no|false|off|0)$/i.test(text);

const capitalized = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

/**
 * As https://kubernetes.io/docs/reference/using-api/health-checks/ shows: `[+]` for a part that works, `[-]` for one that
 * does not.
 */
function verboseText(name: string, isWell: boolean, { apps = {}, ...others }: Partial<HealthBody>): string {
  const ofApps = Object.entries(apps).flatMap(([bundleId, { key, registration, package: pack }]) =>
    Object.entries({ key, registration, package: pack }).map(
      ([part, value]) => [`${part} ${bundleId}`, value] as const,
    ),
  );
  const states = Object.entries(others).flatMap(([part, value]) =>
    typeof value === 'object' ? [[part, value] as const] : [],
  );
  const lines = [...ofApps, ...states].map(([part, { state, code, detail }]) => {
    const why = [code, detail].filter((text) => text !== undefined).join(': ');
    return `[${state === 'down' || state === 'degraded' ? '-' : '+'}]${part} ${state}${why ? `: ${why}` : ''}`;
  });
  return [...lines, `${name}z check ${isWell ? 'passed' : 'failed'}`, ''].join('\n');
}
