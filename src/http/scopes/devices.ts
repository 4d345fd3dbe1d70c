/**
 * The scope of devices (docs/apple-facts.md §3): restore, updates, and webdist's own OAuth if it is configured. No page
 * may call these routes, so there is no CORS.
 */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { ErrorCode } from '../../errors.ts';
import { authorizeDevice } from '../authorize-device.ts';
import { addGuard } from '../guard.ts';
import { describeScope } from '../operation.ts';
import { marketplaceKitRoutes } from '../routes/marketplace-kit.ts';
import { oauthRoutes } from '../routes/oauth.ts';
import { grantSpan } from '../trace-requests.ts';
import type { ScopeDeps } from './deps.ts';

/** Enough for two hundred apps, with room for members that Apple may add. */
const DEVICE_LIMIT_BYTES = 64 * 1024;

/** Only where a credential is required. Otherwise, a device without a valid one is anonymous. */
const REFUSED_CREDENTIALS: readonly ErrorCode[] = ['unauthorized', 'forbidden', 'sign_in_unavailable'];

/**
 * Adds restore and updates, which need the access token of the device, and OAuth. OAuth issues no install tokens, so it
 * has a limit of its own.
 */
export const deviceScope =
  (deps: ScopeDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    const { config, limits, authorizationServer, signIn } = deps;
    const credential = { authorizationServer, signIn, isRequired: config.deviceSide.isCredentialRequired };

    deps.refuseOverload(scope);
    if (authorizationServer)
      await scope.register(async (oauth) => {
        describeScope(oauth, { tag: 'devices', callers: [], problems: ['overloaded'] });
        await deps.limitRequests(oauth);
        await oauth.register(oauthRoutes(authorizationServer));
      });
    await scope.register(async (marketplace) => {
      describeScope(marketplace, {
        tag: 'devices',
        callers: credential.isRequired ? ['device'] : ['none', 'device'],
        problems: ['overloaded', ...(credential.isRequired ? REFUSED_CREDENTIALS : [])],
      });
      marketplace.addHook('onRoute', (route) => {
        route.bodyLimit = DEVICE_LIMIT_BYTES;
      });
      const identityOf = addGuard(marketplace, async (request, reply) => {
        await limits.charge(limits.address(request), reply);
        const grant = await grantSpan(() => authorizeDevice(request, credential));
        await limits.charge(limits.visitor(grant.subject?.id), reply);
        return grant;
      });
      const grantOf = (request: FastifyRequest) => identityOf(request) ?? {};
      await marketplace.register(marketplaceKitRoutes({ ...deps, grantOf }));
    });
  };
