/**
 * Everything that devices call rather than pages (contract §5.6): who they are, how often they may ask, and webdist's
 * own OAuth when it is used.
 */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { AuthorizationServer } from '../../oauth/authorization-server.ts';
import type { Grant } from '../../oauth/sealed.ts';
import type { IssuedInstall, IssueRequest } from '../../service/issuing.ts';
import type { ServerDeps } from '../../service/service.ts';
import { deviceCredential } from '../device-credential.ts';
import { hookOf } from '../hook.ts';
import { addressOf, openRateLimit } from '../limits/rate-limit.ts';
import { marketplaceKitRoutes } from '../routes/marketplace-kit.ts';
import { oauthRoutes } from '../routes/oauth.ts';
import type { SignIn } from '../sign-in.ts';
import { grantSpan } from '../trace-requests.ts';

/** Two hundred apps, with room for members that Apple may add. */
const DEVICE_LIMIT_BYTES = 64 * 1024;

/** What the scopes of the server have in common. */
export type ScopeDeps = ServerDeps & { readonly signIn: SignIn | undefined };

/** Makes the `token` of links: who and which install a link is for, for as long as its install token lives. */
export const linkTokens =
  (server: AuthorizationServer) =>
  ({ app, subject }: IssueRequest, { dtype, issuedAtSeconds, expiresAtSeconds }: IssuedInstall): Promise<string> => {
    const install = { appleItemId: app.appleItemId, dtype, untilSeconds: expiresAtSeconds };
    return server.linkToken({ subject, install }, expiresAtSeconds - issuedAtSeconds);
  };

/** What devices call: no page may, so there is no CORS; a known subject has a limit of its own, the others their address. */
export const deviceScope =
  (deps: ScopeDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    const { authorizationServer, signIn } = deps;
    const { deviceSide, rateLimit } = deps.config;
    const credential = { authorizationServer, signIn, isRequired: deviceSide.isCredentialRequired };
    scope.decorateRequest('grant', null);
    const grantOf = (request: FastifyRequest) => request.getDecorator<Grant | null>('grant') ?? {};
    const subjectOf = (request: FastifyRequest) => grantOf(request).subject;
    const limit = await openRateLimit(scope, deps, [
      { name: 'device', max: rateLimit.perVisitor, keyOf: (request) => subjectOf(request)?.id },
      {
        name: 'device-address',
        max: rateLimit.perAddress,
        keyOf: (request) => (subjectOf(request) ? undefined : addressOf(request)),
      },
    ]);
    scope.addHook('onRoute', (route) => {
      route.bodyLimit = DEVICE_LIMIT_BYTES;
    });
    if (authorizationServer)
      await scope.register(async (oauth) => {
        oauth.addHook('onRequest', hookOf(limit));
        await oauth.register(oauthRoutes(authorizationServer));
      });
    await scope.register(async (marketplace) => {
      marketplace.addHook('onRequest', async (request, reply) => {
        let refusal: unknown;
        try {
          request.setDecorator('grant', await grantSpan(() => deviceCredential(request, credential)));
        } catch (error) {
          refusal = error;
        }
        // Refused requests count too: otherwise access tokens could be guessed without end.
        await limit(request, reply);
        if (refusal !== undefined) throw refusal;
      });
      await marketplace.register(marketplaceKitRoutes({ ...deps, grantOf }));
    });
  };
