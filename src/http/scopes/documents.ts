/** The scope of documents that are the same for every caller, so that caches can share them. */

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { describeScope } from '../operation.ts';
import { installButtonRoute } from '../routes/install-button.ts';
import { jwksRoute } from '../routes/jwks.ts';
import { marketplaceKitDocument } from '../routes/marketplace-kit.ts';
import { oauthDocument } from '../routes/oauth.ts';
import { problemsRoute } from '../routes/problems.ts';
import type { ScopeDeps } from './deps.ts';

/** Public keys, pages about problems, the button, and the configuration documents for devices. */
export const documentScope =
  (deps: ScopeDeps): FastifyPluginAsyncZod =>
  async (scope) => {
    describeScope(scope, { tag: 'documents', callers: [] });
    await deps.limitRequests(scope);
    await scope.register(jwksRoute(deps.service));
    await scope.register(problemsRoute);
    await scope.register(installButtonRoute(deps.config));
    await scope.register(marketplaceKitDocument(deps));
    await scope.register(oauthDocument(deps));
  };
