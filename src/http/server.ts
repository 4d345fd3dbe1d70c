/** The HTTP server: every plugin and every route, listed by hand. */

import { randomUUID } from 'node:crypto';
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
import { appsByName } from '../service/app-named.ts';
import type { ServerDeps } from '../service/service.ts';
import { authorize, type Caller } from './authorize.ts';
import { addCors } from './cors.ts';
import { countryFrom } from './country.ts';
import { openDeviceCookies } from './device-cookie.ts';
import { docsRoutes } from './docs.ts';
import { hookOf } from './hook.ts';
import { type OverloadLimits, openOverload } from './limits/overload.ts';
import { openRateLimit, pageLimits, sharedLimits } from './limits/rate-limit.ts';
import { answerFrameworkError, answerProblems } from './problems.ts';
import { healthRoutes, jwksRoute } from './routes/health.ts';
import { installButtonRoute } from './routes/install-button.ts';
import { appAskedFor, installTokenRoutes, installTokensRoute } from './routes/install-token.ts';
import { installsRoute } from './routes/installs.ts';
import { marketplaceKitDocument } from './routes/marketplace-kit.ts';
import { oauthCodeRoute, oauthDocument } from './routes/oauth.ts';
import { deviceScope, linkTokens, type ScopeDeps } from './scopes/devices.ts';
import { authorizeSpan, traceRequests } from './trace-requests.ts';

const BODY_LIMIT_BYTES = 16 * 1024;

/** A hundred requests of the most members fit into this. */
const BATCH_LIMIT_BYTES = 512 * 1024;

/** A request has to have arrived whole within this, or its connection is closed. */
const REQUEST_TIMEOUT_MS = 10_000;

/** While closing, a connection that brings no request for this long is idle. */
const LAST_REQUEST_MS = 1000;

/** What an answer of an API needs so that no browser takes it for a page. */
const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-site',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

export type ServerOptions = ServerDeps & {
  /** Extra plugins, e.g. the sandbox's pages. */
  readonly pages?: FastifyPluginAsyncZod;
  /** When to refuse requests as too many; default: see overload.ts. */
  readonly overloadLimits?: OverloadLimits;
};

export type Server = {
  readonly app: FastifyInstance;
  /** Not ready from now on, but answering: the first step of shutting down, for load balancers to notice. */
  drain(): void;
  /** Stops listening and resolves when the last request is answered. */
  close(): Promise<void>;
};

/** Builds the server; it listens when the caller says so. */
export async function buildServer({ pages, overloadLimits, ...deps }: ServerOptions): Promise<Server> {
  const { config, metrics, tracing, log } = deps;
  let draining = false;
  let closing = false;
  const app = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId,
    trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => answerFrameworkError(error, request, addHeaders(request, reply)),
  });
  const prepare = (instance: FastifyInstance): FastifyInstance => {
    instance.setValidatorCompiler(validatorCompiler);
    instance.setSerializerCompiler(() => JSON.stringify);
    instance.removeContentTypeParser('text/plain');
    answerProblems(instance);
    instance.addHook('onRequest', (request, reply, done) => {
      addHeaders(request, reply);
      if (config.mode === 'sandbox') reply.header('x-webdist-mode', 'sandbox');
      if (closing) reply.header('connection', 'close');
      done();
    });
    return instance;
  };
  if (tracing) traceRequests(app, tracing);
  prepare(app);
  app.addHook('onResponse', (request, reply, done) => {
    const labels = { route: request.routeOptions.url ?? 'none', status: reply.statusCode };
    metrics.httpSeconds.observe(labels, reply.elapsedTime / 1000);
    done();
  });
  const protect = openOverload(app, metrics, overloadLimits);
  const { signIn: settings } = config.callers;
  const signIn = settings && (await import('./sign-in.ts')).openSignIn(settings);
  const scopeDeps = { ...deps, signIn };
  const routes: FastifyPluginAsyncZod = async (scope) => {
    await scope.register(healthRoutes({ ...deps, isShuttingDown: () => draining }));
    await scope.register(jwksRoute(deps));
    await scope.register(installButtonRoute);
    await scope.register(marketplaceKitDocument(deps));
    await scope.register(oauthDocument(deps));
    await scope.register(tokenScope(scopeDeps, protect));
    await scope.register(async (devices) => {
      protect(devices);
      await devices.register(deviceScope(scopeDeps));
    });
  };
  await app.register(routes);
  await app.register(
    docsRoutes(async () => (await import('./description.ts')).describe(prepare(fastify({ genReqId })), routes)),
  );
  if (pages) await app.register(pages);
  return {
    app,
    drain() {
      draining = true;
    },
    async close() {
      closing = true;
      // http.Server.close() would also cut connections whose next request is already on its way; this one only stops
      // listening. Each connection ends with its next answer, or as idle a little later.
      const ended = new Promise<unknown>((resolve) => NetServer.prototype.close.call(app.server, resolve));
      const idle = setTimeout(() => app.server.closeIdleConnections(), LAST_REQUEST_MS);
      await ended;
      clearTimeout(idle);
      await app.close();
    },
  };
}

const genReqId = () => randomUUID();

const addHeaders = (request: FastifyRequest, reply: FastifyReply) =>
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);

type Protect = ReturnType<typeof openOverload>;

/** Everything that gives or takes tokens: behind CORS, authorization and rate limits. */
const tokenScope =
  (deps: ScopeDeps, protect: Protect): FastifyPluginAsyncZod =>
  async (scope) => {
    const { config, signIn, authorizationServer } = deps;
    const { callers, countryHeader, trustProxy } = config;
    const devices = openDeviceCookies(deps.hashSubject);
    const appNamed = appsByName(config.apps);
    const limit = await openRateLimit(scope, deps, pageLimits(config.rateLimit, devices));
    scope.decorateRequest('caller', undefined);
    scope.decorateRequest('refusal', undefined);
    const callerOf = (request: FastifyRequest) => request.getDecorator<Caller>('caller');
    const isServer = (request: FastifyRequest) => request.getDecorator<Caller | undefined>('caller')?.kind === 'server';

    addCors(scope, callers);
    // After CORS, so that a page sees what it is told.
    protect(scope);
    scope.addHook(
      'onRequest',
      hookOf((request) => {
        const note = (caller: Caller) => request.setDecorator('caller', caller);
        const refuse = (refusal: unknown) => request.setDecorator('refusal', refusal);
        try {
          const caller = authorizeSpan(request, () => authorize(request, callers, signIn));
          if (caller instanceof Promise) return caller.then(note, refuse);
          note(caller);
        } catch (refusal) {
          refuse(refusal);
        }
      }),
    );
    // Refused callers count too: otherwise keys could be guessed without end.
    scope.addHook(
      'onRequest',
      hookOf((request, reply) => (isServer(request) ? undefined : limit(request, reply))),
    );
    scope.addHook('onRequest', (request, _reply, done) => done(request.getDecorator<Error | undefined>('refusal')));
    const linkToken = authorizationServer && linkTokens(authorizationServer);
    const countryOf = countryFrom(countryHeader, trustProxy);
    const routeDeps = { ...deps, appNamed, devices, callerOf, countryOf, linkToken };
    const forAll = sharedLimits(config.rateLimit, (request) => appAskedFor(appNamed, request));
    await scope.register(async (one) => {
      if (forAll.length > 0) {
        const limitAll = await openRateLimit(one, deps, forAll);
        one.addHook(
          'preHandler',
          hookOf((request, reply) => (isServer(request) ? undefined : limitAll(request, reply))),
        );
      }
      await one.register(installTokenRoutes(routeDeps));
    });
    await scope.register(installsRoute(routeDeps));
    if (authorizationServer) await scope.register(oauthCodeRoute({ server: authorizationServer, callerOf }));
    await scope.register(async (batch) => {
      batch.addHook('onRoute', (route) => {
        route.bodyLimit = BATCH_LIMIT_BYTES;
      });
      await batch.register(installTokensRoute(routeDeps));
    });
  };
