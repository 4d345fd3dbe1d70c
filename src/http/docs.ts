/**
 * `/openapi.json` and its page at `/docs`. They are built at the first request for them, because most processes never
 * get one, and their libraries would be a third of what start-up loads. Each document is then kept, compressed.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { fixedContent } from './fixed-content.ts';

type Document = ReturnType<typeof fixedContent>;

/** The headers that are copied from the instance that describes the API, because they belong to the document itself. */
const KEPT = ['content-type', 'content-security-policy'];

/** `make` returns the instance that generates the documents. It must have the routes that these describe. */
export const docsRoutes =
  (make: () => Promise<FastifyInstance>): FastifyPluginAsyncZod =>
  async (app) => {
    let made: Promise<FastifyInstance> | undefined;
    /** Each is read and compressed once, even if many requests for it arrive at the same time. */
    const documents = new Map<string, Promise<Document | undefined>>();
    const read = async (path: string): Promise<Document | undefined> => {
      made ??= make();
      const answer = await (await made).inject({ method: 'GET', url: path });
      if (answer.statusCode !== 200) return undefined;
      const headers = KEPT.flatMap((name) =>
        answer.headers[name] === undefined ? [] : [[name, String(answer.headers[name])]],
      );
      return fixedContent(answer.rawPayload, {
        ...Object.fromEntries(headers),
        'cache-control': 'public, max-age=300',
      });
    };
    const answer = async (request: FastifyRequest, reply: FastifyReply) => {
      const path = request.url.split('?', 1)[0] ?? '';
      const reading = documents.get(path) ?? read(path);
      documents.set(path, reading);
      const document = await reading.catch((error) => {
        documents.delete(path);
        throw error;
      });
      if (document) return document(request, reply);
      // Paths that do not exist are not kept, because their number is unlimited.
      documents.delete(path);
      return reply.callNotFound();
    };
    for (const path of ['/openapi.json', '/docs']) app.get(path, { schema: { hide: true } as object }, answer);
    app.addHook('onClose', async () => (await made)?.close());
  };
