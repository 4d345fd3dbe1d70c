/** The HTTP server: its settings, what every response has in common, and the list of its scopes and routes. */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';
import { Server as NetServer } from 'node:net';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { type FastifyPluginAsyncZod, validatorCompiler } from 'fastify-type-provider-zod';
import type { ApiKey } from '../config/api-keys.ts';
import { createServer } from '../node-http.ts';
import type { ServerDeps } from '../service/service.ts';
import { addressesBehind, proxiesIn } from './address.ts';
import { corsHeaders } from './cors.ts';
import { openConnections } from './limits/connections.ts';
import { limitDocuments } from './limits/documents.ts';
import { type OverloadLimits, openOverload } from './limits/overload.ts';
import { openRateLimits } from './limits/rate-limit.ts';
import { acceptMissingBodies } from './missing-body.ts';
import { describeScope } from './operation.ts';
import { answerProblems, frameworkErrorAnswer } from './problems.ts';
import { answerParserErrors } from './raw-problem.ts';
import { logRefusedCredentials, openRefusals } from './refused-credentials.ts';
import { installButtonRoute } from './routes/install-button.ts';
import { jwksRoute } from './routes/jwks.ts';
import { marketplaceKitDocument } from './routes/marketplace-kit.ts';
import { oauthDocument } from './routes/oauth.ts';
import { problemsRoute } from './routes/problems.ts';
import { webhooksRoute } from './routes/webhooks.ts';
import { deviceScope } from './scopes/devices.ts';
import { docsScope, healthScope, metricsScope } from './scopes/operators.ts';
import { pageScope } from './scopes/pages.ts';
import { reportSignInRefusals } from './sign-in-refusals.ts';
import { traceRequests } from './trace-requests.ts';

const BODY_LIMIT_BYTES = 16 * 1024;

/**
 * The connection of a request that has not arrived completely after ten seconds is closed. By default, Node checks only
 * every 30 s. An idle connection stays open longer than load balancers keep theirs (AWS: 60 s).
 */
const CONNECTIONS = {
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1000,
  keepAliveTimeout: 72_000,
  // Refused with a problem by `openConnections`.
  requireHostHeader: false,
};

/**
 * Given at creation, because otherwise Fastify loads its own compilers, which takes 11 % of the start. Its types allow only
 * those of Ajv.
 */
const COMPILERS = {
  compilersFactory: { buildValidator: () => validatorCompiler as never, buildSerializer: () => () => JSON.stringify },
};

/** While the server closes, a connection without a request for this long counts as idle. */
const LAST_REQUEST_MS = 1000;

/** Headers for the responses of an API. No browser may show them as a page, frame them or guess their type. */
const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-site',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

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
  const { config, metrics, tracing, log } = deps;
  const { apiKeys = () => config.callers.apiKeys } = deps;
  const { problemsUrl } = config;
  const answerFrameworkError = frameworkErrorAnswer(problemsUrl);
  let draining = false;
  let closing = false;
  const headersFor = (request?: IncomingMessage) => ({
    ...SECURITY_HEADERS,
    ...(request && corsHeaders(request, config.callers)),
    ...(closing && { connection: 'close' }),
  });
  const addressOf = addressesBehind(config.trustProxy);
  const connections = openConnections({
    metrics,
    addressOf,
    isProxy: proxiesIn(config.trustProxy),
    problemsUrl,
    headersFor,
  });
  const countRefusal = openRefusals();
  const overload = openOverload({ metrics, log, problemsUrl, headersFor }, overloadLimits);
  const prepare = (instance: FastifyInstance): FastifyInstance => {
    instance.removeContentTypeParser('text/plain');
    acceptMissingBodies(instance);
    instance.addHook('onRequest', (request, reply, done) => {
      addHeaders(request, reply);
      if (config.mode === 'sandbox') reply.header('x-webdist-mode', 'sandbox');
      if (closing) reply.header('connection', 'close');
      done();
    });
    answerProblems(instance, problemsUrl);
    return instance;
  };
  const openInstance = (): FastifyInstance => {
    const instance = fastify({
      schemaController: COMPILERS,
      loggerInstance: log as FastifyBaseLogger,
      logController: new LogController({ disableRequestLogging: true }),
      genReqId,
      trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
      bodyLimit: BODY_LIMIT_BYTES,
      return503OnClosing: false,
      serverFactory(handler) {
        const server = createServer(CONNECTIONS, connections.wrap(overload.wrap(handler as RequestListener)));
        connections.watch(server);
        answerParserErrors(server, problemsUrl, headersFor);
        return server;
      },
      frameworkErrors: (error, request, reply) => answerFrameworkError(error, request, addHeaders(request, reply)),
    });
    if (tracing) traceRequests(instance, tracing);
    prepare(instance);
    logRefusedCredentials(instance, addressOf, countRefusal, deps.audit);
    instance.addHook('onResponse', (request, reply, done) => {
      const labels = { route: request.routeOptions.url ?? 'none', status: reply.statusCode };
      metrics.httpSeconds.observe(labels, reply.elapsedTime / 1000);
      done();
    });
    return instance;
  };
  const { signIn: settings } = config.callers;
  const signIn = settings && (await import('./sign-in.ts')).openSignIn(settings, reportSignInRefusals(metrics, log));
  const limitRequests = (scope: FastifyInstance, max = config.rateLimit.perAddress) =>
    limitDocuments(scope, max, addressOf);
  const limits = openRateLimits({ ...deps, addressOf });
  const scopeDeps = { ...deps, apiKeys, signIn, limits, limitRequests, addressOf, refuseOverload: overload.protect };
  const health = (hasBody: boolean) => healthScope({ ...deps, limitRequests, hasBody, isShuttingDown: () => draining });
  const api: FastifyPluginAsyncZod = async (scope) => {
    await scope.register(pageScope(scopeDeps));
    await scope.register(deviceScope(scopeDeps));
    await scope.register(async (webhooks) => {
      describeScope(webhooks, { tag: 'operations', callers: [] });
      limitRequests(webhooks);
      await webhooks.register(webhooksRoute(deps));
    });
    await scope.register(async (documents) => {
      describeScope(documents, { tag: 'documents', callers: [] });
      await limitRequests(documents);
      await documents.register(jwksRoute(deps.service));
      await documents.register(problemsRoute);
      await documents.register(installButtonRoute(config));
      await documents.register(marketplaceKitDocument(deps));
      await documents.register(oauthDocument(deps));
    });
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
    await scope.register(docsScope(described, () => prepare(fastify({ schemaController: COMPILERS, genReqId }))));
  };
  const app = openInstance();
  // With an operator port, the first port does not serve the paths that visitors do not need.
  const operators = config.operator && openInstance();
  app.addHook('onClose', async () => overload.close());
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
      draining = true;
    },
    async close() {
      closing = true;
      const instances = operators ? [app, operators] : [app];
      await Promise.all(instances.map(stopListening));
      await Promise.all(instances.map((instance) => instance.close()));
    },
  };
}

const genReqId = () => randomUUID();

const addHeaders = (request: FastifyRequest, reply: FastifyReply) =>
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);

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
