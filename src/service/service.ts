/** The composition root: opens all parts of a running service and connects them. It makes no decisions. */

import type { JWK } from 'jose';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import { openNonces } from '../install-token/nonce.ts';
import type { EvidenceKind } from '../ledger/rule.ts';
import { type Metrics, openMetrics } from '../metrics.ts';
import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import { followOrders } from '../orders/follow.ts';
import { openOrderStore } from '../orders/store.ts';
import { type Catalogue, openCatalogue } from '../packages/catalogue.ts';
import { systemClock } from '../registration/clock.ts';
import { openKeys } from '../registration/keys.ts';
import type { Tracing } from '../tracing/tracing.ts';
import { openAuditTrail } from './audit-trail.ts';
import { openAuthorization } from './authorization.ts';
import { type Health, healthOf } from './health.ts';
import { type IssuedInstall, type IssueRequest, openIssuing } from './issuing.ts';
import { jwksOf } from './jwks.ts';
import { watchNewerVersions } from './newer-versions.ts';
import { type Evidence, openRecords } from './records.ts';
import { openRedis, type SharedRedis } from './redis.ts';
import { observeRegistration } from './registration-observer.ts';
import { offersBy, replicaReport } from './replica.ts';
import { derivedKey, ledgerSecret, secretFingerprint } from './secret.ts';
import { type Subject, type SubjectHash, subjectHashes } from './subject.ts';
import { openTokenClock } from './token-clock.ts';

/** The opened service: its operations, but not its parts. */
export interface Service {
  /** Issues one install verification token. Throws `not_registered`, `clock_off`, `ledger_unavailable` or `signer_unavailable`. */
  issue(request: IssueRequest): Promise<IssuedInstall>;
  /**
   * Records evidence that a token was used (docs/http-api.md, `POST /installs`). Evidence that matches no token changes
   * nothing. Throws `ledger_unavailable`.
   */
  confirm(kind: EvidenceKind, evidence: Evidence): Promise<void>;
  /** Returns the public halves that are registered and held here, with their key ids (RFC 7517). */
  jwks(): { keys: JWK[] };
  /** Returns the last known state of each app and each dependency; makes no remote call. */
  health(): Health;
  /** Checks keys, registration and package manifests now; resolves when that is done. */
  reconcile(): Promise<void>;
  /** Closes everything that `openService` opened. Throws `state_invalid` if audit lines could not be written. */
  close(): Promise<void>;
}

/** The parts that the HTTP server is built from. */
export type ServerDeps = {
  readonly service: Service;
  readonly config: Config;
  readonly metrics: Metrics;
  /** The versions of each app that have a package. */
  readonly catalogue: Catalogue;
  /** The counters that all replicas share; if undefined, each replica counts for itself. */
  readonly redis: SharedRedis | undefined;
  /** webdist's own authorization server for devices, if it is configured. */
  readonly authorizationServer: AuthorizationServer | undefined;
  /** Signs device cookies and identifies subjects, with the ledger's secret. */
  readonly hashSubject: (subject: Subject) => SubjectHash;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly tracing: Tracing | undefined;
  readonly log: Logger;
};

/** The inputs that the service gets from the process that runs it. */
export type ServiceDeps = {
  readonly env: Environment;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** False for a command that ends soon: nothing is checked until `reconcile` is called. Default: true. */
  readonly autoReconcile?: boolean;
  readonly tracing?: Tracing | undefined;
};

/** The service, and what its HTTP server is built from. */
export type OpenedService = { readonly service: Service; readonly serverDeps: ServerDeps };

/** Opens everything. Throws `config_invalid`, `key_*` or `state_invalid` for problems that only an operator can fix. */
export async function openService(
  config: Config,
  { env, log, now = Date.now, autoReconcile = true, tracing }: ServiceDeps,
): Promise<OpenedService> {
  await using opening = new AsyncDisposableStack();
  const metrics = openMetrics();
  const secret = config.ledger.secret ?? (await ledgerSecret(config.dataDir));
  const hashSubject = subjectHashes(derivedKey(secret, 'subject'));
  const appleItemIds = config.apps.map(({ appleItemId }) => appleItemId);
  const nonces = openNonces(derivedKey(secret, 'nonce'), appleItemIds);
  const records = await openRecords(config, {
    secretFingerprint: secretFingerprint(secret),
    nonces,
    hash: hashSubject,
    metrics,
    log,
    now,
    clockOffsetSeconds: () => keys.clockOffsetSeconds,
  });
  opening.defer(() => records.close());
  const observer = observeRegistration(metrics, tracing);
  const keys = await openKeys(config, { env, log, observer, autoReconcile, clock: { ...systemClock, now } });
  opening.defer(() => keys.close());
  const orders = await followOrders({ store: await openOrderStore(config), log, now });
  opening.defer(() => orders.close());
  const { redisUrl } = config.rateLimit;
  const redis = redisUrl
    ? await openRedis(redisUrl, { key: derivedKey(secret, 'rate limit'), metrics, log })
    : undefined;
  opening.defer(async () => redis?.close());
  const audit = await openAuditTrail(config.auditFile, { metrics, log });
  opening.defer(async () => audit?.close());
  const catalogue = openCatalogue({
    apps: config.apps,
    folder: config.packages,
    offerOf: offersBy(config.apps, orders),
    log,
  });
  opening.defer(() => catalogue.close());
  const newerVersions = watchNewerVersions({ apps: config.apps, catalogue, connect: keys.connect, metrics, log });
  opening.defer(() => newerVersions.close());
  const oauthKey = derivedKey(secret, 'device oauth');
  const authorizationServer = await openAuthorization(config.deviceSide.oauth, { key: oauthKey, redis, now });
  if (autoReconcile) void catalogue.refresh().then(newerVersions.check);
  const clock = openTokenClock({ keys, now, lifetimeSeconds: config.tokenLifetimeSeconds, log });
  const issue = openIssuing(config, {
    keys,
    records,
    nonces,
    hash: hashSubject,
    catalogue,
    orders,
    metrics,
    audit,
    clock,
  });
  const opened = opening.move();
  const service: Service = {
    issue,
    confirm: (kind, evidence) => records.confirm(kind, evidence, Math.floor(clock.now() / 1000)),
    jwks: () => jwksOf(keys),
    health: () => healthOf(config, { keys, clock, records, redis, orders, manifests: catalogue.manifests }),
    async reconcile() {
      await Promise.all([keys.reconcile(), catalogue.refresh().then(newerVersions.check)]);
    },
    close: () => opened.disposeAsync(),
  };
  if (autoReconcile)
    orders.join(
      () => replicaReport(service.health(), keys, catalogue),
      () => void catalogue.refresh(),
    );
  return {
    service,
    serverDeps: { service, config, metrics, catalogue, redis, authorizationServer, hashSubject, now, tracing, log },
  };
}
