/**
 * What a website has beside webdist, for the simulated device: the packages, and a licence server that only says yes. A
 * real one needs Apple's App License Delivery SDK (apple-facts §3.4). Must not know the service that serves it.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Sandbox } from './sandbox.ts';

/** Says in every answer that nothing here is a licence. */
const STUB = { 'x-webdist-sandbox': 'stub licence server: says yes to everything' };

/** Adds `/adp/…` and `/ald/…`, the paths of the sandbox's settings, to the server it is registered with. */
export function sandboxWebsite({ baseUrl }: Pick<Sandbox, 'baseUrl'>): FastifyPluginAsyncZod {
  return async (app) => {
    app.addHook('onRoute', (route) => {
      route.schema = { ...route.schema, hide: true } as object;
    });
    app.get<{ Params: { '*': string } }>('/adp/*', async ({ params }, reply) => {
      const answer = await fetch(`${baseUrl}/_sandbox/packages/${params['*']}`);
      const type = answer.headers.get('content-type') ?? 'application/octet-stream';
      return reply
        .code(answer.status)
        .type(type)
        .send(Buffer.from(await answer.arrayBuffer()));
    });
    app.post('/ald/license', async (_, reply) => {
      const license = Buffer.from('not a licence: the sandbox only says yes').toString('base64');
      return reply.headers(STUB).send({ license, unlicensedApps: [] });
    });
    app.post('/ald/renew', async (_, reply) => {
      const license = Buffer.from('not a licence: the sandbox only says yes').toString('base64');
      return reply.headers(STUB).send({ license, ineligibleLicenses: [] });
    });
  };
}
