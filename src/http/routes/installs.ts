/**
 * `POST /installs` (docs/http-api.md): evidence that a token was used. The response is 204 whether or not the evidence
 * changes anything, so that a caller learns nothing about other devices.
 */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { WebdistError } from '../../errors.ts';
import type { AppNamed } from '../../service/app-named.ts';
import type { Service } from '../../service/service.ts';
import type { Caller } from '../authorize.ts';
import type { DeviceCookies } from '../device-cookie.ts';
import { accepted, evidenceBody } from '../schemas.ts';

type Deps = {
  readonly service: Pick<Service, 'confirm'>;
  readonly appNamed: AppNamed;
  readonly devices: DeviceCookies;
  readonly callerOf: (request: FastifyRequest) => Caller;
};

/**
 * Answers 403 if a page names a subject or a device. Answers 503 `ledger_unavailable` if the evidence cannot be stored, so that the
 * caller sends it again.
 */
export const installsRoute =
  ({ service, appNamed, devices, callerOf }: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const schema = {
      operationId: 'reportInstall',
      summary: 'Evidence that a token was used',
      body: evidenceBody,
      response: { 204: accepted },
      problems: ['forbidden', 'unknown_app', 'ledger_unavailable', 'clock_off'],
    } as const;
    app.post('/installs', { schema }, async (request, reply) => {
      const { nonce, app: name, subject, device: deviceId } = request.body;
      if (callerOf(request).kind === 'server') {
        const device = deviceId === undefined ? undefined : ({ kind: 'device', id: deviceId } as const);
        if (nonce !== undefined) await service.confirm('confirm', { nonce, device });
        else
          await service.confirm('confirm', {
            appleItemId: appNamed(name).appleItemId,
            subject: subject === undefined ? undefined : { kind: 'caller', id: subject },
            device,
          });
        return reply.code(204).send();
      }
      if (deviceId !== undefined)
        throw new WebdistError('forbidden', 'device: only an authenticated server may set this.');
      if (nonce === undefined)
        throw new WebdistError('forbidden', 'subject: only an authenticated server may set this; send the nonce.');
      const device = devices.deviceIn(request);
      if (device !== undefined) await service.confirm('tap', { nonce, subject: device });
      return reply.code(204).send();
    });
  };
