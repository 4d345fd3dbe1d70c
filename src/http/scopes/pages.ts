/**
 * The scope of pages and servers, which request tokens and report installs. It has CORS, authorization and rate limits.
 */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Config } from '../../config/config.ts';
import type { ErrorCode } from '../../errors.ts';
import type { AppNamed } from '../../service/app-named.ts';
import { authorize, type Caller, PAGE, serverIn } from '../authorize.ts';
import { openChallenge } from '../challenge.ts';
import { addCors } from '../cors.ts';
import { countryFrom } from '../country.ts';
import { openDeviceCookies } from '../device-cookie.ts';
import { reportToDoctor } from '../doctor-report.ts';
import { addGuard } from '../guard.ts';
import { linkTokens } from '../link-token.ts';
import { describeScope, type SecurityScheme } from '../operation.ts';
import { buttonErrorsRoute } from '../routes/button-errors.ts';
import { installTokenRoutes, installTokensRoute } from '../routes/install-token.ts';
import { installsRoute } from '../routes/installs.ts';
import { oauthCodeRoute } from '../routes/oauth.ts';
import { authorizeSpan } from '../trace-requests.ts';
import type { ScopeDeps } from './deps.ts';

/** Enough for a hundred requests with every member at its longest. */
const BATCH_LIMIT_BYTES = 512 * 1024;

const SIGN_IN_PROBLEMS: readonly ErrorCode[] = ['sign_in_unavailable'];

/** The limits of visitors and addresses do not apply to servers. */
export const pageScope =
  (deps: ScopeDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    const { config, limits, now, signIn, authorizationServer } = deps;
    const { callers, countryHeader, trustProxy } = config;
    const devices = openDeviceCookies(scope, deps.hashSubject, config.hostCookie);
    const appNamed: AppNamed = (name) => deps.service.apps.named(name);
    deps.refuseOverload(scope);
    reportToDoctor(scope, deps);
    describeScope(scope, {
      tag: 'pages and servers',
      callers: callersOf(callers),
      problems: ['unauthorized', 'origin_not_allowed', 'overloaded', ...(signIn ? SIGN_IN_PROBLEMS : [])],
    });
    addCors(scope, callers);
    // Added after CORS, so that a page can read the refusal.
    const identityOf = addGuard(scope, async (request, reply) => {
      const server = serverIn(request, deps.apiKeys(), now());
      if (!server)
        await limits.charge([...limits.visitor(devices.deviceIn(request)?.id), ...limits.address(request)], reply);
      return authorizeSpan(request, async () => server ?? (await authorize(request, callers, signIn)));
    });
    const callerOf = (request: FastifyRequest): Caller => identityOf(request) ?? PAGE;

    const linkToken = authorizationServer && linkTokens(authorizationServer);
    const countryOf = countryFrom(countryHeader, trustProxy);
    const verifyChallenge = openChallenge(callers.challenge);
    const routeDeps = { ...deps, verifyChallenge, appNamed, devices, callerOf, countryOf, linkToken };
    await scope.register(installTokenRoutes(routeDeps));
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

/** Who may call, for the API's description. */
const callersOf = ({ signIn, anonymous }: Config['callers']): readonly (SecurityScheme | 'none')[] => [
  ...(signIn || anonymous === 'none' ? [] : (['none'] as const)),
  'apiKey',
  ...(signIn ? (['customer'] as const) : []),
];
