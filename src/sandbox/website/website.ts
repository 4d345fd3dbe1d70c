/**
 * What a website has beside webdist, for the simulated device: the packages and the licence server. The sandbox's own
 * server has both; here they are found under the website's paths.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Sandbox } from '../sandbox.ts';

/** The path of the sandbox's own server for a path of the website; undefined for those of webdist itself. */
export function sandboxPath(path: string): string | undefined {
  if (path.startsWith('/adp/')) return path.replace('/adp/', '/_sandbox/packages/');
  if (path.startsWith('/ald/')) return path.replace('/ald/', '/_sandbox/ald/');
  return undefined;
}

/** Adds `/adp/…` and `/ald/…`, the paths of the sandbox's settings, to the server it is registered with. */
export function sandboxWebsite({ baseUrl }: Pick<Sandbox, 'baseUrl'>): FastifyPluginAsyncZod {
  return async (app) => {
    app.addHook('onRoute', (route) => {
      route.schema = { ...route.schema, hide: true } as object;
    });
    for (const [method, url] of [
      ['GET', '/adp/*'],
      ['POST', '/ald/*'],
    ] as const)
      app.route({
        method,
        url,
        async handler(request, reply) {
          const answer = await fetch(`${baseUrl}${sandboxPath(request.url)}`, { method });
          const own = [...answer.headers].filter(([name]) => ['content-type', 'x-webdist-sandbox'].includes(name));
          const body = Buffer.from(await answer.arrayBuffer());
          return reply.code(answer.status).headers(Object.fromEntries(own)).send(body);
        },
      });
  };
}
