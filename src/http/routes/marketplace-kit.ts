/**
 * `GET /.well-known/marketplace-kit`, `POST /marketplace-kit/restore` and `POST /marketplace-kit/updates` (contract
 * §5.6; docs/apple-facts.md §3.1 to §3.3). Must not know how versions are chosen or tokens made.
 */

import type { FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { APPLE_ID } from '../../apple-id.ts';
import type { AppConfig } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { type AnswerParts, answerRestore, answerUpdates } from '../../marketplace-kit/answer.ts';
import {
  configurationWarnings,
  marketplaceKitConfiguration,
  RESTORE_PATH,
  UPDATES_PATH,
} from '../../marketplace-kit/configuration.ts';
import { RESTORE_EVIDENCE, restoreDtype, UPDATE_DTYPE } from '../../marketplace-kit/restore-dtype.ts';
import type { Grant } from '../../oauth/sealed.ts';
import type { ServerDeps } from '../../service/service.ts';
import { fixedDocument } from '../fixed-document.ts';
import { addressOf } from '../limits/rate-limit.ts';
import { logIssued } from './install-token.ts';

type Deps = Pick<ServerDeps, 'service' | 'config' | 'catalogue' | 'now'> & {
  /** What the access token of a request stands for. */
  readonly grantOf: (request: FastifyRequest) => Grant;
};

/** More apps than anybody has of one developer. */
const MAX_APPS = 200;

/** Decimal strings; a number is taken as well, as long as it is exact. */
const appleId = z.union([z.string().regex(APPLE_ID), z.int().positive().transform(String)]);
const requestedApp = z.object({ appleItemId: appleId, appleVersionId: appleId });

/** Members that are not listed are let be: Apple may add some. Each app is checked by itself. */
const deviceBody = z.object({
  apps: z.array(z.unknown()).max(MAX_APPS, `may hold at most ${MAX_APPS} apps`),
  platform: z.string().max(64).optional(),
  osVersion: z.string().regex(/^\d/, 'must be a version such as 18.5').max(64).optional(),
});
type DeviceBody = z.output<typeof deviceBody>;

export const marketplaceKitDocument =
  ({ config, log }: Pick<ServerDeps, 'config' | 'log'>): FastifyPluginAsyncZod =>
  async (app) => {
    const { publicUrl, license, updatesPollingHours } = config.deviceSide;
    const input = { publicUrl, license, updatesPollingHours, apps: config.apps };
    for (const warning of configurationWarnings(input))
      log.warn({ event: 'marketplace_kit_incomplete' }, `.well-known/marketplace-kit: ${warning}`);
    const answer = fixedDocument(marketplaceKitConfiguration(input));
    const schema = { summary: 'Where devices ask for licences, restores and updates' };
    app.get('/.well-known/marketplace-kit', { schema }, async (request, reply) => answer(request, reply));
  };

export const marketplaceKitRoutes =
  (deps: Deps): FastifyPluginAsyncZod =>
  async (app) => {
    const offering = { ...deps, offered: new Map(deps.config.apps.map((one) => [one.appleItemId, one])) };
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    const restore = { summary: 'Apps a device wants back, each with a token', body: deviceBody };
    app.post(RESTORE_PATH, { schema: restore }, async (request) => {
      const { apps, malformed } = readApps(request.body);
      const answer = await answerRestore({ ...request.body, apps }, partsFor(offering, request, issueRestore));
      return withFailures(answer, malformed);
    });
    const updates = { summary: 'Newer versions of apps a device has, each with a token', body: deviceBody };
    app.post(UPDATES_PATH, { schema: updates }, async (request) => {
      const { apps, malformed } = readApps(request.body);
      const answer = await answerUpdates({ ...request.body, apps }, partsFor(offering, request, issueUpdate));
      return withFailures(answer, malformed);
    });
  };

function readApps({ apps }: DeviceBody) {
  const read = apps.map((app) => ({ app, parsed: requestedApp.safeParse(app) }));
  return {
    apps: read.flatMap(({ parsed }) => (parsed.success ? [parsed.data] : [])),
    malformed: read.flatMap(({ app, parsed }) => (parsed.success ? [] : [malformedFailure(app)])),
  };
}

/** Says back what was asked for as far as it was text, so that the device knows which one is meant. */
function malformedFailure(app: unknown) {
  const short = z.string().max(64).catch('');
  const { appleItemId, appleVersionId } = z
    .object({ appleItemId: short, appleVersionId: short })
    .catch({ appleItemId: '', appleVersionId: '' })
    .parse(app);
  return { appleItemId, appleVersionId, failure: { code: 404, description: 'This is not an app and a version.' } };
}

function withFailures<T extends { readonly failures?: readonly object[] }>(answer: T, malformed: readonly object[]) {
  return malformed.length === 0 ? answer : { ...answer, failures: [...(answer.failures ?? []), ...malformed] };
}

type Issue = (
  deps: Deps,
  request: FastifyRequest,
  install: { app: AppConfig; appleVersionId: string },
) => Promise<string>;

type Offering = Deps & { readonly offered: ReadonlyMap<string, AppConfig> };

function partsFor(deps: Offering, request: FastifyRequest, issue: Issue): AnswerParts {
  const { catalogue, offered } = deps;
  return {
    appOf(appleItemId, requested) {
      const app = offered.get(appleItemId);
      if (!app) return undefined;
      const known = catalogue.versionsOf(app);
      // Before the manifest could be read there is only the package itself, which is what a link has just named.
      const unknown = app.packageUrl ? [{ appleVersionId: requested, packageUrl: app.packageUrl }] : [];
      return { appShareUrl: app.appShareUrl, versions: known.length > 0 ? known : unknown, rules: app.versions ?? {} };
    },
    async issue(appleItemId, appleVersionId) {
      const app = offered.get(appleItemId);
      if (!app) throw new WebdistError('unknown_app', 'This app is not offered here.');
      return issue(deps, request, { app, appleVersionId });
    },
    who: whoIs(deps.grantOf(request), request),
    failed: (appleItemId, error) =>
      request.log.error({ event: 'device_token_failed', appleItemId, code: error.code, err: error }, error.detail),
  };
}

/** In a staged release a device that is not known by anything is known by its network. */
const whoIs = ({ subject }: Grant, request: FastifyRequest) =>
  subject ? `${subject.kind} ${subject.id}` : `address ${addressOf(request)}`;

const issueRestore: Issue = async ({ service, now, grantOf }, request, { app, appleVersionId }) => {
  const grant = grantOf(request);
  const { subject } = grant;
  const dtype = restoreDtype(grant, app.appleItemId, Math.floor(now() / 1000));
  const issued = await service.issue({
    app,
    subject,
    caller: 'device',
    dtype,
    evidence: RESTORE_EVIDENCE,
    appleVersionId,
  });
  logIssued(request, app, issued);
  return issued.installToken;
};

const issueUpdate: Issue = async ({ service, grantOf }, request, { app, appleVersionId }) => {
  const issued = await service.issue({
    app,
    subject: grantOf(request).subject,
    caller: 'device',
    dtype: UPDATE_DTYPE,
    appleVersionId,
  });
  logIssued(request, app, issued);
  return issued.installToken;
};
