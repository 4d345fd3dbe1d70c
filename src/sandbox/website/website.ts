/**
 * The parts of a website other than webdist, for the simulated device: packages and a licence server. The sandbox's
 * server provides both. This plugin makes them available under the website's paths.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Sandbox } from '../sandbox.ts';

/** Returns the path on the sandbox's server for a path of the website; undefined for webdist's own paths. */
export function sandboxPath(path: string): string | undefined {
  if (path.startsWith('/adp/')) return path.replace('/adp/', '/_sandbox/packages/');
  if (path.startsWith('/ald/')) return path.replace('/ald/', '/_sandbox/ald/');
  return undefined;
}

/** A plugin with `/adp/…` and `/ald/…`, the paths in the sandbox's settings. */
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
