/**
 * The composition root: the one place where settings, keys, App Store Connect, ledger and the issuing of tokens meet.
 */

import type { JWK } from 'jose';
import type { Logger } from 'pino';
import type { AppConfig, Config } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import { isWebdistError, WebdistError } from '../errors.ts';
import { type Install, type Issued, issue } from '../install-token/issue.ts';
import type { Evidence } from '../ledger/rule.ts';
import { type Metrics, openMetrics } from '../metrics.ts';
import { type Catalogue, openCatalogue } from '../packages/catalogue.ts';
import { openKeys } from '../registration/keys.ts';
import { canSign } from '../registration/state.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { openAuditTrail } from './audit-trail.ts';
import { type Health, healthOf } from './health.ts';
import { openRecords, type Subject, type Used } from './records.ts';
import { openRedis, type SharedRedis } from './redis.ts';
import { derivedKey, ledgerSecret } from './secret.ts';
import { timedSigners } from './timed-signer.ts';

/** One request to issue, as it comes from a border: the subject in the clear. */
export type IssueRequest = Omit<Install, 'subject' | 'app'> & {
  readonly app: AppConfig;
  readonly subject?: Subject | undefined;
  /** For the audit: `page`, `device`, or `server:` and the name of its API key. */
  readonly caller: string;
};

/** What was issued, with the hash of the subject for the log. */
export type IssuedInstall = Issued & { readonly subjectHash: string | undefined };

export interface Service {
  readonly config: Config;
  readonly metrics: Metrics;
  /** Signs device cookies; derived from the ledger's secret. */
  readonly cookieKey: Buffer;
  /** Encrypts what devices carry from a link to their requests; derived from the ledger's secret. */
  readonly oauthKey: Buffer;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Which versions of the apps there are packages of. */
  readonly catalogue: Catalogue;
  /** Where all replicas count requests, if anywhere. */
  readonly redis: SharedRedis | undefined;
  readonly tracing: Tracing | undefined;
  /** The app with this bundle id or AppleItemID; without a name the only one. Throws `unknown_app`, `invalid_request`. */
  appNamed(name: string | undefined): AppConfig;
  /** Issues one install verification token. Throws `not_registered`, `ledger_unavailable` or `signer_unavailable`. */
  issue(request: IssueRequest): Promise<IssuedInstall>;
  /** Takes note that a token was used (contract §5.4). What matches nothing changes nothing. Throws `ledger_unavailable`. */
  confirm(evidence: Evidence, used: Used): Promise<void>;
  /** The public halves that are registered and held, with their key ids (RFC 7517). */
  jwks(): { keys: JWK[] };
  /** What is known now; asks nobody. */
  health(): Health;
  /** Looks again at keys, registration and package manifests, now. */
  look(): Promise<void>;
  close(): Promise<void>;
}

export type ServiceParts = {
  readonly env: Environment;
  readonly log: Logger;
  readonly now?: () => number;
  /** False: nobody is asked before `look` is called, for a command that ends soon. */
  readonly looksByItself?: boolean;
  readonly tracing?: Tracing | undefined;
};

/** How far this machine's clock may be ahead of Apple's before tokens are dated back by the difference. */
const CLOCK_TOLERANCE_SECONDS = 2;

/** Opens everything. Throws `config_invalid`, `key_*` or `state_invalid` for what only a person can fix. */
export async function openService(
  config: Config,
  { env, log, now = Date.now, looksByItself = true, tracing }: ServiceParts,
): Promise<Service> {
  const metrics = openMetrics();
  const secret = config.ledger.secret ?? (await ledgerSecret(config.dataDir));
  const records = await openRecords(config, { secret, metrics, log, now });
  const keys = await openKeys(config, { env, log, metrics, looksByItself, tracing }).catch(async (error) => {
    await records.close();
    throw error;
  });
  const { redisUrl } = config.rateLimit;
  const redis = redisUrl
    ? await openRedis(redisUrl, { key: derivedKey(secret, 'rate limit'), metrics, log })
    : undefined;
  const audit = await openAuditTrail(config.auditFile, { metrics, log });
  const catalogue = openCatalogue({ apps: config.apps, folder: config.packages, log });
  if (looksByItself) void catalogue.refresh();
  const timed = timedSigners(metrics);
  const parts = {
    async keyFor(app: Install['app']) {
      await keys.fresh();
      const { signer, keyId } = keys.keyFor(app);
      return { signer: timed(signer, keyId), keyId };
    },
    dtypeFor: records.dtypeFor,
    // A clock that runs ahead would date tokens into the future, which a device refuses; dating back is harmless.
    now: () => now() + (behindSeconds(keys.clockOffsetSeconds) ?? 0) * 1000,
    lifetimeSeconds: config.tokenLifetimeSeconds,
  };
  return {
    config,
    metrics,
    cookieKey: derivedKey(secret, 'device cookie'),
    oauthKey: derivedKey(secret, 'device oauth'),
    now,
    catalogue,
    redis,
    tracing,
    appNamed: appsByName(config.apps),
    async issue({ app, subject, caller, ...request }) {
      const subjectHash = subject && records.hash(subject);
      const appleVersionId = request.appleVersionId ?? catalogue.currentIdOf(app);
      try {
        const issued = await issue({ ...request, app, subject: subjectHash, appleVersionId }, parts);
        metrics.installTokens.inc({ app: app.bundleId, dtype: issued.dtype, result: 'issued' });
        audit?.record({ app, issued, subjectHash, caller });
        return { ...issued, subjectHash };
      } catch (error) {
        const result = isWebdistError(error) ? error.code : 'internal_error';
        metrics.installTokens.inc({ app: app.bundleId, dtype: 'none', result });
        throw error;
      }
    },
    confirm: records.confirm,
    jwks: () => ({ keys: keys.apps.filter(canSign).map((state) => jwkOf(keys.keyFor(state.app))) }),
    health: () => healthOf(config, { keys, records, redis, manifests: catalogue.manifests }),
    async look() {
      await Promise.all([keys.look(), catalogue.refresh()]);
    },
    async close() {
      catalogue.close();
      await keys.close();
      await records.close();
      await redis?.close();
      await audit?.close();
    },
  };
}

/** Negative seconds when Apple's clock is behind this machine's by more than can be measured. */
const behindSeconds = (offset: number | undefined) =>
  offset !== undefined && offset < -CLOCK_TOLERANCE_SECONDS ? offset : undefined;

function appsByName(apps: readonly AppConfig[]): Service['appNamed'] {
  const named = new Map(apps.flatMap((app) => [app.bundleId, app.appleItemId].map((name) => [name, app] as const)));
  const only = apps.length === 1 ? apps[0] : undefined;
  return (name) => {
    if (name === undefined && only) return only;
    if (name === undefined)
      throw new WebdistError('invalid_request', 'app: is required, because this server has several apps.');
    const app = named.get(name);
    if (!app) throw new WebdistError('unknown_app', 'app: no app of this server has that bundle id or AppleItemID.');
    return app;
  };
}

function jwkOf({ signer, keyId }: ReturnType<Awaited<ReturnType<typeof openKeys>>['keyFor']>): JWK {
  return { ...signer.publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'ES256' };
}
