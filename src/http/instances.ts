/**
 * Creates the Fastify instances of one server, with their connections and the headers that all responses have. They share
 * the limits of connections and the protection against overload.
 */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify';
import { validatorCompiler } from 'fastify-type-provider-zod';
import { type AddressOf, proxiesIn } from '../address.ts';
import { createServer } from '../node-http.ts';
import type { ServerDeps } from '../service/service.ts';
import { acceptMissingBodies, refuseEncodedBodies } from './bodies.ts';
import { corsHeaders } from './cors.ts';
import { openConnections } from './limits/connections.ts';
import { type OverloadLimits, openOverload } from './limits/overload.ts';
import { answerProblems, frameworkErrorAnswer } from './problems.ts';
import { answerParserErrors } from './raw-problem.ts';
import { logRefusedCredentials, openRefusals } from './refused-credentials.ts';
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
 * Set at creation, because otherwise Fastify loads its own compilers, which takes 11 % of the start. Its types only allow
 * Ajv's compilers.
 */
const COMPILERS = {
  compilersFactory: { buildValidator: () => validatorCompiler as never, buildSerializer: () => () => JSON.stringify },
};

/**
 * A logger for each request, with its id bound, takes 6 % of a token's CPU time. So a line about a request names `reqId`
 * itself.
 */
const withoutChild = <L>(logger: L): L => logger;

/** Headers for the responses of an API. No browser may show them as a page, frame them or guess their type. */
const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-site',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

type Deps = Pick<ServerDeps, 'config' | 'metrics' | 'tracing' | 'log' | 'audit'> & {
  readonly addressOf: AddressOf;
  /** Default: see limits/overload.ts. */
  readonly overloadLimits: OverloadLimits | undefined;
};

/** Opens the instances of one server. */
export function openInstances({ config, metrics, tracing, log, audit, addressOf, overloadLimits }: Deps) {
  const { problemsUrl } = config;
  const answerFrameworkError = frameworkErrorAnswer(problemsUrl);
  let isClosing = false;
  const headersFor = (request?: IncomingMessage) => ({
    ...SECURITY_HEADERS,
    ...(request && corsHeaders(request, config.callers)),
    ...(isClosing && { connection: 'close' }),
  });
  const isProxy = proxiesIn(config.trustProxy);
  const tokensPerMinute = config.rateLimit.perAddress;
  const connections = openConnections({ metrics, addressOf, tokensPerMinute, isProxy, problemsUrl, headersFor });
  const overload = openOverload({ metrics, log, problemsUrl, headersFor }, overloadLimits);
  const countRefusal = openRefusals();
  const prepare = (instance: FastifyInstance): FastifyInstance => {
    instance.removeContentTypeParser('text/plain');
    acceptMissingBodies(instance);
    refuseEncodedBodies(instance);
    instance.addHook('onRequest', (request, reply, done) => {
      addHeaders(request, reply);
      if (config.mode === 'sandbox') reply.header('x-webdist-mode', 'sandbox');
      if (isClosing) reply.header('connection', 'close');
      done();
    });
    answerProblems(instance, problemsUrl);
    return instance;
  };
  return {
    /** Makes a scope refuse requests while this process is overloaded. */
    refuseOverload: overload.protect,
    /** Returns an instance that can listen. */
    open(): FastifyInstance {
      const instance = fastify({
        schemaController: COMPILERS,
        loggerInstance: log as FastifyBaseLogger,
        logController: new LogController({ disableRequestLogging: true }),
        childLoggerFactory: withoutChild,
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
      logRefusedCredentials(instance, addressOf, countRefusal, audit);
      instance.addHook('onResponse', (request, reply, done) => {
        const labels = { route: request.routeOptions.url ?? 'none', status: reply.statusCode };
        metrics.httpSeconds.observe(labels, reply.elapsedTime / 1000);
        done();
      });
      return instance;
    },
    /** Returns an instance that only describes its routes. */
    openToDescribe: () => prepare(fastify({ schemaController: COMPILERS, genReqId })),
    /** From now on, every response ends its connection. */
    endConnections() {
      isClosing = true;
    },
    /** Call it when no instance listens any longer. */
    close() {
      connections.close();
      overload.close();
    },
  };
}

const genReqId = () => randomUUID();

const addHeaders = (request: FastifyRequest, reply: FastifyReply) =>
  reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
