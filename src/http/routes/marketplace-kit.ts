/**
 * `GET /.well-known/marketplace-kit`, `POST /marketplace-kit/restore` and `POST /marketplace-kit/updates`
 * (docs/http-api.md, "MarketplaceKit"; docs/apple-facts.md §3.1 to §3.3).
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { AddressOf } from '../../address.ts';
import type { AppConfig } from '../../config/config.ts';
import { type AnswerDeps, answerRestore, answerUpdates, type OfferedApp } from '../../marketplace-kit/answer.ts';
import {
  configurationWarnings,
  marketplaceKitConfiguration,
  RESTORE_PATH,
  UPDATES_PATH,
} from '../../marketplace-kit/configuration.ts';
import { RESTORE_EVIDENCE, restoreDtype, UPDATE_DTYPE } from '../../marketplace-kit/restore-dtype.ts';
import { withHeld } from '../../marketplace-kit/rollout.ts';
import type { Grant } from '../../oauth/sealed.ts';
import type { IssueRequest } from '../../service/issuing.ts';
import type { ServerDeps } from '../../service/service.ts';
import {
  appAndVersion,
  configurationAnswer,
  type DeviceBody,
  describedDeviceBody,
  deviceBody,
  idsIn,
  restoreAnswer,
  updatesAnswer,
} from '../device-schemas.ts';
import { documentAnswers, fixedDocument } from '../fixed-content.ts';
import { type RateLimits, removeRateFields } from '../limits/rate-limit.ts';
import { ISSUE_PROBLEMS } from '../problems.ts';
import { logIssued } from './install-token.ts';

type Deps = Pick<ServerDeps, 'service' | 'config' | 'catalogue' | 'now'> & {
  /** Returns the subject and the install that the access token of a request stands for. */
  readonly grantOf: (request: FastifyRequest) => Grant;
  readonly limits: RateLimits;
  readonly addressOf: AddressOf;
};

/** Serves the configuration document. Logs a warning for each missing member that devices need. */
export const marketplaceKitDocument =
  ({ config, service, log }: Pick<ServerDeps, 'config' | 'service' | 'log'>): FastifyPluginAsyncZod =>
  async (app) => {
    const { publicUrl, license, updatesPollingHours } = config.deviceSide;
    const input = () => ({ publicUrl, license, updatesPollingHours, apps: service.apps.all });
    for (const warning of configurationWarnings(input()))
      log.warn({ event: 'marketplace_kit_incomplete' }, `.well-known/marketplace-kit: ${warning}`);
    const documentNow = () => ({ apps: service.apps, answer: fixedDocument(marketplaceKitConfiguration(input())) });
    let document = documentNow();
    const schema = {
      operationId: 'getMarketplaceKit',
      summary: 'Where devices request licences, restores and updates',
      response: documentAnswers('application/json', configurationAnswer),
    };
    app.get('/.well-known/marketplace-kit', { schema }, async (request, reply) => {
      if (document.apps !== service.apps) document = documentNow();
      return document.answer(request, reply);
    });
  };

/**
 * Restore and update requests. Apps that cannot be served are listed in `failures`. The status is 503 only if every app
 * failed temporarily.
 */
export const marketplaceKitRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    const common = { body: deviceBody, described: { body: describedDeviceBody }, problems: ISSUE_PROBLEMS };
    const restore = {
      ...common,
      operationId: 'restoreApps',
      summary: 'Apps that a device wants back, each with a token',
      response: { 200: restoreAnswer },
    };
    app.post(RESTORE_PATH, { schema: restore }, async (request, reply) => {
      const { apps, malformed } = readApps(request.body);
      await deps.service.ensureFreshOrders();
      const answer = await answerRestore({ ...request.body, apps }, answerDeps(deps, request, reply, restoreClaims));
      return withFailures(answer, malformed);
    });
    const updates = {
      ...common,
      operationId: 'updateApps',
      summary: 'Newer versions of apps that a device has, each with a token',
      response: { 200: updatesAnswer },
    };
    app.post(UPDATES_PATH, { schema: updates }, async (request, reply) => {
      const { apps, malformed } = readApps(request.body);
      await deps.service.ensureFreshOrders();
      const answer = await answerUpdates({ ...request.body, apps }, answerDeps(deps, request, reply, updateClaims));
      return withFailures(answer, malformed);
    });
  };

function readApps({ apps }: DeviceBody) {
  const read = apps.map((entry) => ({ ids: idsIn(entry), parsed: appAndVersion.safeParse(idsIn(entry)) }));
  return {
    apps: read.flatMap(({ parsed }) => (parsed.success ? [parsed.data] : [])),
    malformed: read.flatMap(({ ids, parsed }) => (parsed.success ? [] : [malformedFailure(ids)])),
  };
}

/** Repeats the ids of the request, so that the device knows which app is meant. */
const malformedFailure = ({ appleItemId, appleVersionId }: ReturnType<typeof idsIn>) => ({
  appleItemId: idText(appleItemId),
  appleVersionId: idText(appleVersionId),
  failure: { code: 404, description: 'The entry does not name an app and a version.' },
});

const idText = (id: unknown) => (['string', 'number'].includes(typeof id) && `${id}`.length <= 64 ? `${id}` : '');

function withFailures<T extends { readonly failures?: readonly object[] }>(answer: T, malformed: readonly object[]) {
  return malformed.length === 0 ? answer : { ...answer, failures: [...(answer.failures ?? []), ...malformed] };
}

/** The properties of tokens that depend on the kind of request, besides the app and the version. */
type ClaimsFor = (grant: Grant, app: AppConfig, nowSeconds: number) => Pick<IssueRequest, 'dtype' | 'evidence'>;

const restoreClaims: ClaimsFor = (grant, app, nowSeconds) => ({
  dtype: restoreDtype(grant, app.appleItemId, nowSeconds),
  evidence: RESTORE_EVIDENCE,
});

const updateClaims: ClaimsFor = () => ({ dtype: UPDATE_DTYPE });

function answerDeps(deps: Deps, request: FastifyRequest, reply: FastifyReply, claimsFor: ClaimsFor): AnswerDeps {
  const { config, service, catalogue, limits, addressOf, now } = deps;
  const grant = deps.grantOf(request);
  return {
    appOf(appleItemId, requested): OfferedApp | undefined {
      const app = service.apps.withId(appleItemId);
      if (!app) return undefined;
      const known = catalogue.versionsOf(app);
      const { held, used } = catalogue.offerOf(app);
      // Until the manifest has been read, only the package's URL is known, and the requested version is the one that
      // the link named.
      const assumed = app.packageUrl ? [{ appleVersionId: requested, packageUrl: app.packageUrl }] : [];
      const isKnown = known.length > 0;
      return {
        appShareUrl: app.appShareUrl,
        versions: isKnown ? known : assumed,
        rules: withHeld(app.versions ?? {}, held),
        used,
        async issue(chosen) {
          const claims = claimsFor(grant, app, Math.floor(now() / 1000));
          const { subject } = grant;
          // A version that only the caller named is not signed. In that case, the token has no `vid`.
          const appleVersionId = isKnown ? chosen : undefined;
          const issued = await service.issue({ app, subject, caller: 'device', appleVersionId, ...claims });
          logIssued(request, app, issued);
          return issued.installToken;
        },
      };
    },
    async charge(appleItemIds) {
      const bundleIds = appleItemIds.flatMap((id) => service.apps.withId(id)?.bundleId ?? []);
      // The request itself has already counted as one token of its visitor and its address.
      const more = bundleIds.length - 1;
      if (more > 0) removeRateFields(reply);
      const again = more > 0 ? [...limits.visitor(grant.subject?.id, more), ...limits.address(request, more)] : [];
      await limits.charge([...again, ...limits.apps(bundleIds)], reply);
    },
    heldRestore: config.deviceSide.heldRestore,
    // In a staged release, a device without a subject is identified by its network.
    who: grant.subject ? `${grant.subject.kind} ${grant.subject.id}` : `address ${addressOf(request.raw)}`,
    failed: (appleItemId, error) =>
      request.log.error(
        { reqId: request.id, event: 'device_token_failed', appleItemId, code: error.code, err: error },
        error.detail,
      ),
  };
}
