/** `GET /install-button.js`, and the modules that it loads for visitors who need them (docs/install-button.md). */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { buttonModules } from '../../browser/package/modules.ts';
import type { Config } from '../../config/config.ts';
import { documentAnswers, fixedContent } from '../fixed-content.ts';

/**
 * Any page may load them, because they contain nothing about the visitor. Caches revalidate soon, so that fixes arrive.
 */
const HEADERS = {
  'access-control-allow-origin': '*',
  'cache-control': 'public, max-age=300',
  'cross-origin-resource-policy': 'cross-origin',
  'content-type': 'text/javascript; charset=utf-8',
};

/** Adds one path for each module, with an ETag. */
export const installButtonRoute =
  ({ buttonErrorsShare }: Pick<Config, 'buttonErrorsShare'>): FastifyPluginAsyncZod =>
  async (app) => {
    for (const [name, source] of Object.entries(buttonModules())) {
      const text = source.replace('WEBDIST_BUTTON_ERRORS', String(buttonErrorsShare));
      const answer = fixedContent(text, HEADERS);
      const schema = {
        operationId: `get-${name.replace('.js', '')}`,
        summary: 'A browser module of <install-button>',
        response: documentAnswers('text/javascript', z.string().describe('An ES module')),
      };
      app.get(`/${name}`, { schema }, async (request, reply) => answer(request, reply));
    }
  };
