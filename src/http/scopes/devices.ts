/**
 * What devices call (docs/apple-facts.md §3): restore, updates, and webdist's own OAuth when it is configured. No page may
 * call these, so there is no CORS.
 */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { authorizeDevice } from '../authorize-device.ts';
import { openGuard } from '../guard.ts';
import { deviceLimits, openRateLimit } from '../limits/rate-limit.ts';
import { marketplaceKitRoutes } from '../routes/marketplace-kit.ts';
import { oauthRoutes } from '../routes/oauth.ts';
import { grantSpan } from '../trace-requests.ts';
import type { ScopeDeps } from './deps.ts';

/** Two hundred apps, with room for members that Apple may add. */
const DEVICE_LIMIT_BYTES = 64 * 1024;

/** Restore and updates, behind the access token of the device; OAuth, behind the limits only. */
export const deviceScope =
  (deps: ScopeDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    const { config, authorizationServer, signIn } = deps;
    const credential = { authorizationServer, signIn, isRequired: config.deviceSide.isCredentialRequired };
    const guard = openGuard(scope, (request) => grantSpan(() => authorizeDevice(request, credential)));
    const grantOf = (request: FastifyRequest) => guard.identityOf(request) ?? {};
    const limit = openRateLimit(
      deps,
      deviceLimits(config.rateLimit, (request) => grantOf(request).subject?.id),
    );

    deps.refuseOverload(scope);
    scope.addHook('onRoute', (route) => {
      route.bodyLimit = DEVICE_LIMIT_BYTES;
    });
    if (authorizationServer)
      await scope.register(async (oauth) => {
        oauth.addHook('onRequest', limit);
        await oauth.register(oauthRoutes(authorizationServer));
      });
    await scope.register(async (marketplace) => {
      guard.protect(marketplace, limit);
      await marketplace.register(marketplaceKitRoutes({ ...deps, grantOf }));
    });
  };
