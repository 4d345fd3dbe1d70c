/**
 * `GET /.well-known/oauth-authorization-server`, `GET /oauth/authorize` and `POST /oauth/token` for devices, and
 * `POST /oauth/code` for the website's login page (docs/http-api.md, "OAuth"; docs/apple-facts.md §3.5, §3.6).
 */

import formbody from '@fastify/formbody';
import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type AuthorizationServer, oauthMetadata } from '../../oauth/authorization-server.ts';
import { OAuthRefusal } from '../../oauth/refusal.ts';
import { describedAuthorizeQuery, describedTokenRequest } from '../../oauth/requests.ts';
import type { ServerDeps } from '../../service/service.ts';
import { type Caller, onlyServers } from '../authorize.ts';
import { oauthErrorAnswer, oauthMetadataAnswer, oauthTokenAnswer } from '../device-schemas.ts';
import { documentAnswers, fixedDocument } from '../fixed-content.ts';
import { problemSchema } from '../problems.ts';

/**
 * Refers devices to this server or to the website's own authorization server. Without either, the path does not exist.
 */
export const oauthDocument =
  ({ config }: Pick<ServerDeps, 'config'>): FastifyPluginAsyncZod =>
  async (app) => {
    const { oauth, publicUrl } = config.deviceSide;
    if (!oauth) return;
    const metadata =
      oauth.kind === 'own'
        ? oauthMetadata(publicUrl, `${publicUrl}/oauth/authorize`, `${publicUrl}/oauth/token`)
        : oauthMetadata(oauth.issuer, oauth.authorizeUrl, oauth.tokenUrl);
    const answer = fixedDocument(metadata);
    const schema = {
      operationId: 'getOAuthMetadata',
      summary: 'Where devices get access tokens (RFC 8414)',
      response: documentAnswers('application/json', oauthMetadataAnswer),
    };
    app.get('/.well-known/oauth-authorization-server', { schema }, async (request, reply) => answer(request, reply));
  };

/** The routes for devices and their browsers. */
export const oauthRoutes =
  (server: AuthorizationServer): FastifyPluginAsyncZod =>
  async (app) => {
    await app.register(formbody);
    app.removeContentTypeParser('application/json');
    app.addHook('onRequest', async (_request, reply) => {
      reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' });
    });
    app.setErrorHandler((error, request, reply) => {
      if (!(error instanceof OAuthRefusal)) throw error;
      request.log.debug({ reqId: request.id, event: 'oauth_refused', code: error.code }, error.message);
      return reply.code(400).send({ error: error.code, error_description: error.message });
    });
    const refused = {
      description: 'Refused (RFC 6749 §5.2), or `invalid_request`: The request is invalid',
      content: {
        'application/json': { schema: oauthErrorAnswer },
        'application/problem+json': { schema: problemSchema },
      },
    };
    const authorize = {
      operationId: 'authorizeDevice',
      summary: 'Redirects to the login page (RFC 6749 §4.1)',
      described: {
        querystring: describedAuthorizeQuery,
        response: { 302: z.undefined().describe('To the login page, or back to the device'), 400: refused },
      },
    };
    app.get('/oauth/authorize', { schema: authorize }, async (request, reply) =>
      reply.redirect(await server.authorize(request.query as Record<string, unknown>), 302),
    );
    const token = {
      operationId: 'getAccessToken',
      summary: 'Access tokens for devices (RFC 8693 exchange, refresh, authorization code)',
      consumes: ['application/x-www-form-urlencoded'],
      described: { body: describedTokenRequest, response: { 200: oauthTokenAnswer, 400: refused } },
    };
    app.post('/oauth/token', { schema: token }, async (request) =>
      server.token(request.body as Record<string, unknown>),
    );
  };

type Deps = { readonly server: AuthorizationServer; readonly callerOf: (request: FastifyRequest) => Caller };

const codeBody = z.strictObject({
  request: z
    .string()
    .regex(/^[\x21-\x7e]+$/)
    .max(4096)
    .describe('The `request` parameter that the login page was opened with'),
  subject: z.string().min(1).max(256).describe('The person who signed in: the same id as `subject` of install tokens'),
});

/** The route for the server of the login page, which calls it with an API key after the person has signed in. */
export const oauthCodeRoute =
  ({ server, callerOf }: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const schema = {
      operationId: 'finishSignIn',
      summary: 'After a person has signed in: the URL to which the page sends their browser',
      body: codeBody,
      response: { 200: z.object({ redirectUrl: z.string() }).describe('The next address') },
      security: [{ apiKey: [] }],
    };
    onlyServers(app, callerOf);
    app.post('/oauth/code', { schema }, async (request, reply) => {
      reply.header('cache-control', 'no-store');
      const { request: login, subject } = request.body;
      return { redirectUrl: await server.signedIn(login, { kind: 'caller', id: subject }) };
    });
  };
