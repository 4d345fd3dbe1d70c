/**
 * `POST /button-errors` (docs/install-button.md): receives how far the install button got in one visit. A report contains
 * only values from fixed lists. It is counted in metrics, but neither logged nor stored.
 */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Config } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import type { Metrics } from '../../metrics.ts';
import type { AppNamed } from '../../service/app-named.ts';
import { problemGuides } from '../problem-guide.ts';
import { accepted, buttonReportBody } from '../schemas.ts';

const BODY_LIMIT_BYTES = 1024;

/** Taps without effect: before there was a link, or repeated because nothing happened after the first tap. */
const TAP_CODES = ['tapped_early', 'tapped_again'];

/** The codes that become labels of the metric. Any other code counts as `other`. */
const codes = new Set([...problemGuides.keys(), ...TAP_CODES]);

type Deps = {
  readonly config: Pick<Config, 'buttonErrorsShare'>;
  readonly appNamed: AppNamed;
  readonly metrics: Pick<Metrics, 'buttonVisits' | 'buttonErrors'>;
};

/** With `WEBDIST_BUTTON_ERRORS=0`, the path does not exist. Each report represents 1/share visits. */
export const buttonErrorsRoute =
  ({ config, appNamed, metrics }: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    if (config.buttonErrorsShare === 0) return;
    const visits = 1 / config.buttonErrorsShare;
    const schema = {
      operationId: 'reportButton',
      summary: 'How far the install button got in one visit',
      body: buttonReportBody,
      response: { 204: accepted },
    };
    app.post('/button-errors', { schema, bodyLimit: BODY_LIMIT_BYTES }, async (request, reply) => {
      const { app: name, steps, codes: reported } = request.body;
      const label = labelOf(appNamed, name);
      for (const step of new Set(steps)) metrics.buttonVisits.inc({ app: label, step }, visits);
      const known = new Set(reported.map((code) => (codes.has(code) ? code : 'other')));
      for (const code of known) metrics.buttonErrors.inc({ app: label, code }, visits);
      return reply.code(204).send();
    });
  };

/** The bundle id; `unknown` for a name that no app of this server has, which is an error of the page. */
function labelOf(appNamed: AppNamed, name: string | undefined): string {
  try {
    return appNamed(name).bundleId;
  } catch (error) {
    if (error instanceof WebdistError) return 'unknown';
    throw error;
  }
}
