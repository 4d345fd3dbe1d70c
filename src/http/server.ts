/** The HTTP server: its scopes, which of its ports serves them, and how it closes. */

import { Server as NetServer } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { addressesBehind } from '../address.ts';
import type { ApiKey } from '../config/api-keys.ts';
import type { ServerDeps } from '../service/service.ts';
import { openInstances } from './instances.ts';
import { limitDocuments } from './limits/documents.ts';
import type { OverloadLimits } from './limits/overload.ts';
import { openRateLimits } from './limits/rate-limit.ts';
import { describeScope } from './operation.ts';
import { problemsRoute } from './routes/problems.ts';
import { webhooksRoute } from './routes/webhooks.ts';
import { deviceScope } from './scopes/devices.ts';
import { documentScope } from './scopes/documents.ts';
import { docsScope, healthScope, metricsScope } from './scopes/operators.ts';
import { pageScope } from './scopes/pages.ts';
import { reportSignInRefusals } from './sign-in-refusals.ts';

/** While the server closes, a connection without a request for this long counts as idle. */
const LAST_REQUEST_MS = 1000;

/** The inputs of the server, and additions for tests and the sandbox. */
export type ServerOptions = ServerDeps & {
  /** Extra plugins, e.g. the sandbox's pages. */
  readonly pages?: FastifyPluginAsyncZod;
  /** The API keys that are valid now. Default: the API keys of the configuration, which then never change. */
  readonly apiKeys?: () => readonly ApiKey[];
  /** The thresholds for refusing requests when overloaded. Default: see limits/overload.ts. */
  readonly overloadLimits?: OverloadLimits;
};

/** A server that may not listen yet. */
export type Server = {
  readonly app: FastifyInstance;
  /** The server of the operator port; undefined without one. */
  readonly operators: FastifyInstance | undefined;
  /**
   * Reports "not ready" from now on, but still answers. This is the first step of shutting down, so that load balancers
   * notice.
   */
  drain(): void;
  /** Stops listening; resolves when the last request has been answered. */
  close(): Promise<void>;
};

/** Builds the server; the caller makes it listen. */
export async function buildServer({ pages, overloadLimits, ...deps }: ServerOptions): Promise<Server> {
  const { config, metrics, log } = deps;
  const { apiKeys = () => config.callers.apiKeys } = deps;
  let isDraining = false;
  const addressOf = addressesBehind(config.trustProxy);
  const instances = openInstances({ ...deps, addressOf, overloadLimits });
  const { refuseOverload } = instances;
  const { signIn: settings } = config.callers;
  const signIn = settings && (await import('./sign-in.ts')).openSignIn(settings, reportSignInRefusals(metrics, log));
  const limitRequests = (scope: FastifyInstance, max = config.rateLimit.perAddress) =>
    limitDocuments(scope, max, addressOf);
  const limits = openRateLimits({ ...deps, addressOf });
  const scopeDeps = { ...deps, apiKeys, signIn, limits, limitRequests, addressOf, refuseOverload };
  const health = (hasBody: boolean) =>
    healthScope({ ...deps, limitRequests, hasBody, isShuttingDown: () => isDraining });
  const api: FastifyPluginAsyncZod = async (scope) => {
    await scope.register(pageScope(scopeDeps));
    await scope.register(deviceScope(scopeDeps));
    await scope.register(async (webhooks) => {
      describeScope(webhooks, { tag: 'operations', callers: [] });
      await limitRequests(webhooks);
      await webhooks.register(webhooksRoute(deps));
    });
    await scope.register(documentScope(scopeDeps));
  };
  const operations: FastifyPluginAsyncZod = async (scope) => {
    await scope.register(health(true));
    await scope.register(metricsScope({ metrics, limitRequests }));
  };
  const docs: FastifyPluginAsyncZod = async (scope) => {
    if (!config.docs) return;
    await limitRequests(scope);
    const described: FastifyPluginAsyncZod = async (all) => {
      await all.register(operations);
      await all.register(api);
    };
    const { problemsUrl, listen } = config;
    const origin = problemsUrl.startsWith('/') ? `http://localhost:${listen.port}` : new URL('..', problemsUrl).href;
    await scope.register(docsScope(described, instances.openToDescribe, origin.replace(/\/$/, '')));
    // The page links to them.
    if (operators) await scope.register(problemsRoute);
  };
  const app = instances.open();
  // With an operator port, the first port does not serve the paths that visitors do not need.
  const operators = config.operator && instances.open();
  app.addHook('onClose', async () => instances.close());
  await app.register(api);
  if (operators) await app.register(health(false));
  const forOperators = operators ?? app;
  await forOperators.register(operations);
  await forOperators.register(docs);
  if (pages) await app.register(pages);
  return {
    app,
    operators,
    drain() {
      isDraining = true;
    },
    async close() {
      instances.endConnections();
      const listening = operators ? [app, operators] : [app];
      await Promise.all(listening.map(stopListening));
      await Promise.all(listening.map((instance) => instance.close()));
    },
  };
}

/**
 * http.Server.close() would also cut connections whose next request is already in transit. net.Server.close() only
 * stops listening. Each connection is closed after its next response, or a little later if it is idle.
 */
async function stopListening(app: FastifyInstance): Promise<void> {
  const ended = new Promise<unknown>((resolve) => NetServer.prototype.close.call(app.server, resolve));
  const idle = setTimeout(() => app.server.closeIdleConnections(), LAST_REQUEST_MS);
  await ended;
  clearTimeout(idle);
}
