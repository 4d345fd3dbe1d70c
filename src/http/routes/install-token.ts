/**
 * `POST` and `GET /install-token`, and `POST /install-tokens` (docs/http-api.md). Checks which caller may set which
 * field, and calls `service.issue` once for each token.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { AddressOf } from '../../address.ts';
import type { AppConfig, Config } from '../../config/config.ts';
import { toWebdistError, WebdistError } from '../../errors.ts';
import { installUrl } from '../../install-token/install-url.ts';
import type { AppNamed } from '../../service/app-named.ts';
import type { IssuedInstall, IssueRequest } from '../../service/issuing.ts';
import type { ServerDeps } from '../../service/service.ts';
import { type Caller, onlyServers, refuseForeignApp, type ServerCaller } from '../authorize.ts';
import type { VerifyChallenge } from '../challenge.ts';
import type { CountryOf } from '../country.ts';
import type { DeviceCookies } from '../device-cookie.ts';
import type { RateLimits } from '../limits/rate-limit.ts';
import type { LinkToken } from '../link-token.ts';
import { ISSUE_PROBLEMS, problemOf } from '../problems.ts';
import {
  claimsIn,
  describedInstall,
  describedInstalls,
  type InstallFields,
  type InstallTokenAnswer,
  installBody,
  installQuery,
  installsAnswer,
  installsBody,
  installTokenAnswers,
  serverFields,
} from '../schemas.ts';

type Deps = Pick<ServerDeps, 'service' | 'catalogue'> & {
  readonly config: Pick<Config, 'problemsUrl'>;
  readonly appNamed: AppNamed;
  readonly devices: DeviceCookies;
  readonly limits: Pick<RateLimits, 'apiKey' | 'apps' | 'charge'>;
  readonly countryOf: CountryOf;
  readonly callerOf: (request: FastifyRequest) => Caller;
  /** Undefined without webdist's own OAuth. */
  readonly linkToken: LinkToken | undefined;
  /** Undefined unless a challenge is configured. */
  readonly verifyChallenge: VerifyChallenge | undefined;
  readonly addressOf: AddressOf;
};

/** `POST` and `GET /install-token`, for pages and servers. */
export const installTokenRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const common = {
      summary: 'One install verification token, and its install URL',
      problems: [...ISSUE_PROBLEMS, 'forbidden', 'unknown_app', 'challenge_failed', 'challenge_unavailable'],
      response: installTokenAnswers,
    } as const;
    const facts = { exchangesToken: deps.linkToken === undefined, hasSeveralApps: deps.service.apps.all.length > 1 };
    const post = {
      operationId: 'issueInstallToken',
      body: installBody,
      querystring: z.strictObject({}),
      described: { body: describedInstall(installBody, facts) },
    };
    app.post('/install-token', { schema: { ...common, ...post } }, (request, reply) =>
      answerOne(deps, request.body, request, reply),
    );
    const get = {
      operationId: 'issueInstallTokenByQuery',
      querystring: installQuery,
      described: { querystring: describedInstall(installQuery, facts) },
    };
    // HEAD would issue a token that the caller never receives.
    app.get('/install-token', { exposeHeadRoute: false, schema: { ...common, ...get } }, (request, reply) =>
      answerOne(deps, request.query, request, reply),
    );
  };

/** `POST /install-tokens`, for servers: 401 for any other caller. */
export const installTokensRoute =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const schema = {
      operationId: 'issueInstallTokens',
      summary: 'Up to 100 tokens, for authenticated callers',
      body: installsBody,
      described: { body: describedInstalls },
      response: { 200: installsAnswer },
      security: [{ apiKey: [] }],
    };
    const serverOf = onlyServers(app, deps.callerOf);
    app.post('/install-tokens', { schema }, async (request, reply) => {
      const caller = serverOf(request);
      await deps.limits.charge(deps.limits.apiKey(caller.key, request.body.requests.length), reply);
      const results = await Promise.all(
        request.body.requests.map((entry, index) => answerEntry(deps, { entry, index, caller }, request)),
      );
      reply.header('cache-control', 'no-store');
      return { results };
    });
  };

async function answerOne(
  deps: Deps,
  fields: InstallFields,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<InstallTokenAnswer> {
  const caller = deps.callerOf(request);
  reply.header('cache-control', 'no-store');
  if (caller.kind === 'server') {
    const install = serverRequest(deps, fields, caller);
    await deps.limits.charge(
      [...deps.limits.apiKey(caller.key, 1), ...deps.limits.apps([install.app.bundleId])],
      reply,
    );
    return answerFor(deps, install, fields, request);
  }
  refuseClaims(fields);
  if (deps.verifyChallenge) await deps.verifyChallenge(fields.challenge, deps.addressOf(request.raw));
  const app = appIn(fields, deps.appNamed);
  const charges = deps.limits.apps([app.bundleId]);
  if (charges.length > 0) await deps.limits.charge(charges, reply);
  const { device, isNew } = deps.devices.remember(request, reply);
  const install = { app, subject: device, isNewSubject: isNew, caller: 'page', country: deps.countryOf(request) };
  return answerFor(deps, install, fields, request);
}

type Entry = { readonly entry: unknown; readonly index: number; readonly caller: ServerCaller };

async function answerEntry(deps: Deps, { entry, index, caller }: Entry, request: FastifyRequest) {
  try {
    const parsed = installBody.safeParse(entry);
    if (parsed.success) {
      const install = serverRequest(deps, parsed.data, caller);
      await deps.limits.charge(deps.limits.apps([install.app.bundleId]));
      return await answerFor(deps, install, parsed.data, request);
    }
    const issue = parsed.error.issues[0];
    throw new WebdistError(
      'invalid_request',
      `${['body.requests', index, ...(issue?.path ?? [])].join('.')}: ${issue?.message}`,
    );
  } catch (error) {
    const problem = toWebdistError(error, 'internal_error', 'The request could not be answered.');
    if (problem.status >= 500)
      request.log.error(
        { reqId: request.id, event: 'request_failed', code: problem.code, err: problem },
        problem.detail,
      );
    return problemOf(problem, request.id, deps.config.problemsUrl);
  }
}

function serverRequest({ appNamed }: Deps, fields: InstallFields, { key }: ServerCaller): IssueRequest {
  const app = appIn(fields, appNamed);
  refuseForeignApp(key, app);
  return {
    caller: `server:${key.name}`,
    app,
    subject: fields.subject === undefined ? undefined : { kind: 'caller', id: fields.subject },
    dtype: dtypeIn(fields),
    ...claimsIn(fields),
  };
}

async function answerFor(
  { service, catalogue, linkToken }: Deps,
  install: IssueRequest,
  fields: InstallFields,
  request: FastifyRequest,
): Promise<InstallTokenAnswer> {
  if (fields.token !== undefined && linkToken)
    throw new WebdistError(
      'invalid_request',
      "token: webdist's own OAuth cannot exchange it; leave it out, or set WEBDIST_OAUTH=off.",
    );
  const { app } = install;
  const ordersRead = service.ensureFreshOrders();
  if (ordersRead) await ordersRead;
  // Read in the same tick as the version in the token, because an order or a pull can change the package URL while the
  // token is signed.
  const packageUrl = catalogue.currentOf(app)?.packageUrl ?? app.packageUrl;
  const issued = await service.issue(install);
  logIssued(request, app, issued);
  return {
    token: issued.installToken,
    expiresAt: rfc3339(issued.expiresAtSeconds),
    dtype: issued.dtype,
    keyId: issued.keyId,
    nonce: issued.nonce,
    ...(packageUrl && {
      installUrl: installUrl({
        packageUrl,
        installToken: issued.installToken,
        subjectToken: fields.token ?? (await linkToken?.(install, issued)),
        account: fields.account,
        appShareUrl: app.appShareUrl,
      }),
    }),
  };
}

/** Formats seconds since 1970 as RFC 3339, without a fraction. */
const rfc3339 = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

/** Writes the log line for a token; there is one for each. */
export function logIssued(
  request: FastifyRequest,
  app: AppConfig,
  { dtype, dtypeSource, nonce, keyId, subjectTag }: IssuedInstall,
): void {
  request.log.info({
    reqId: request.id,
    event: 'install_token_issued',
    app: app.bundleId,
    dtype,
    dtypeSource,
    nonce,
    subject: subjectTag,
    keyId,
  });
}

/** Returns the app that any of the four fields names. Throws `unknown_app`, and `invalid_request` if two disagree. */
function appIn({ app, bundleID, bundleId, appleItemId }: InstallFields, appNamed: AppNamed): AppConfig {
  const names = new Set([app, bundleID, bundleId, appleItemId].filter((one) => one !== undefined));
  const [found, ...others] = names.size === 0 ? [appNamed(undefined)] : [...names].map(appNamed);
  if (found === undefined || others.length > 0)
    throw new WebdistError('invalid_request', 'app: two fields name different apps.');
  return found;
}

function dtypeIn({ dtype, redownload }: InstallFields) {
  if (redownload === undefined) return dtype;
  const implied = redownload ? 'redownload' : 'download';
  if (dtype !== undefined && dtype !== implied)
    throw new WebdistError('invalid_request', 'dtype: contradicts redownload.');
  return implied;
}

/** A page's `redownload` is ignored, because AltStore sends it. Any other claim is refused. */
function refuseClaims(fields: InstallFields): void {
  for (const name of serverFields)
    if (fields[name] !== undefined)
      throw new WebdistError('forbidden', `${name}: only an authenticated server may set this.`);
}
