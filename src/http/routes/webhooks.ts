/**
 * `POST /webhooks/app-store-connect` (docs/packages.md): receives App Store Connect's webhooks (docs/apple-facts.md §5.5).
 * Their signature is an HMAC of the bytes of the body.
 */

import { createHmac, timingSafeEqual } from 'node:crypto';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Config } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import type { ServerDeps } from '../../service/service.ts';
import { accepted } from '../schemas.ts';

/**
 * The events after which there may be a new package. In lower case, because Apple writes the first letter in both ways.
 */
const NEWS = new Set(
  [
    'alternativeDistributionPackageVersionCreated',
    'alternativeDistributionPackageVersionAvailable',
    'alternativeDistributionPackageAvailableUpdated',
    'alternativeDistributionTerritoryAvailabilityUpdated',
    'appStoreVersionAppVersionStateUpdated',
  ].map((type) => type.toLowerCase()),
);

const eventForm = z.object({ data: z.object({ type: z.string().max(100), id: z.string().max(100) }) });

type Deps = Pick<ServerDeps, 'service' | 'log'> & { readonly config: Pick<Config, 'webhookSecret'> };

/** Without `WEBDIST_WEBHOOK_SECRET`, the path does not exist. */
export const webhooksRoute =
  ({ service, config, log }: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const { webhookSecret } = config;
    if (webhookSecret === undefined) return;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    const schema = {
      operationId: 'receiveWebhook',
      summary: 'An event of App Store Connect, signed with the secret of its webhook',
      problems: ['unauthorized' as const],
      headers: z.object({ 'x-apple-signature': z.string().optional() }),
      described: { body: eventForm },
      response: { 204: accepted },
    };
    app.post('/webhooks/app-store-connect', { schema }, async (request, reply) => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      if (!isSigned(body, request.headers['x-apple-signature'], webhookSecret))
        throw new WebdistError('unauthorized', 'x-apple-signature: is not valid for this body.');
      const { type, id } = eventIn(body);
      const isNews = NEWS.has(type.toLowerCase());
      log.info({ event: 'webhook_received', type, id, isNews }, 'received a webhook of App Store Connect');
      if (isNews) service.packagesChanged();
      return reply.code(204).send();
    });
  };

/** Compares in constant time. */
function isSigned(body: Buffer, header: string | undefined, secret: string): boolean {
  const expected = Buffer.from(`hmacsha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const given = Buffer.from(header ?? '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function eventIn(body: Buffer): { readonly type: string; readonly id: string } {
  try {
    return eventForm.parse(JSON.parse(body.toString('utf8'))).data;
  } catch (cause) {
    throw new WebdistError('invalid_request', 'The body is not an event of App Store Connect.', { cause });
  }
}
