/** What pages and servers call to get tokens and to report installs: behind CORS, authorization and rate limits. */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { appsByName } from '../../service/app-named.ts';
import { authorize, type Caller, PAGE } from '../authorize.ts';
import { addCors } from '../cors.ts';
import { countryFrom } from '../country.ts';
import { openDeviceCookies } from '../device-cookie.ts';
import { type Limiter, openGuard } from '../guard.ts';
import { openRateLimit, pageLimits, sharedLimits } from '../limits/rate-limit.ts';
import { linkTokens } from '../link-token.ts';
import { buttonErrorsRoute } from '../routes/button-errors.ts';
import { installTokenRoutes, installTokensRoute, requestedApp } from '../routes/install-token.ts';
import { installsRoute } from '../routes/installs.ts';
import { oauthCodeRoute } from '../routes/oauth.ts';
import { authorizeSpan } from '../trace-requests.ts';
import type { ScopeDeps } from './deps.ts';

/** A hundred requests with every member at its longest fit into this. */
const BATCH_LIMIT_BYTES = 512 * 1024;

/** The limits for pages do not apply to servers. */
export const pageScope =
  (deps: ScopeDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    const { config, signIn, authorizationServer } = deps;
    const { callers, countryHeader, trustProxy } = config;
    const devices = openDeviceCookies(deps.hashSubject);
    const appNamed = appsByName(config.apps);
    const guard = openGuard(scope, (request) => authorizeSpan(request, () => authorize(request, callers, signIn)));
    const callerOf = (request: FastifyRequest): Caller => guard.identityOf(request) ?? PAGE;
    const unlessServer =
      (limit: Limiter): Limiter =>
      async (request, reply) => {
        if (callerOf(request).kind !== 'server') await limit(request, reply);
      };

    deps.refuseOverload(scope);
    addCors(scope, callers);
    // After CORS, so that a page can read the refusal.
    guard.protect(scope, unlessServer(openRateLimit(deps, pageLimits(config.rateLimit, devices))));

    const linkToken = authorizationServer && linkTokens(authorizationServer);
    const countryOf = countryFrom(countryHeader, trustProxy);
    const routeDeps = { ...deps, appNamed, devices, callerOf, countryOf, linkToken };
    await scope.register(async (single) => {
      const limits = sharedLimits(config.rateLimit, (request) => requestedApp(appNamed, request));
      if (limits.length > 0) single.addHook('preHandler', unlessServer(openRateLimit(deps, limits)));
      await single.register(installTokenRoutes(routeDeps));
    });
    await scope.register(installsRoute(routeDeps));
    await scope.register(buttonErrorsRoute(routeDeps));
    if (authorizationServer) await scope.register(oauthCodeRoute({ server: authorizationServer, callerOf }));
    await scope.register(async (batch) => {
      batch.addHook('onRoute', (route) => {
        route.bodyLimit = BATCH_LIMIT_BYTES;
      });
      await batch.register(installTokensRoute(routeDeps));
    });
  };
