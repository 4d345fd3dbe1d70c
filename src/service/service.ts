/** The composition root: opens all parts of a running service and connects them. It makes no decisions. */

import type { JWK } from 'jose';
import type { Logger } from 'pino';
import type { AppConfig, Config } from '../config/config.ts';
import type { Environment } from '../environment.ts';
import type { EvidenceKind } from '../ledger/rule.ts';
import { type Metrics, openMetrics } from '../metrics.ts';
import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import { followOrders } from '../orders/follow.ts';
import { openOrderStore } from '../orders/store.ts';
import type { Catalogue } from '../packages/catalogue.ts';
import { systemClock } from '../registration/clock.ts';
import { coalesced } from '../registration/coalesced.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { ServedApps } from './app-named.ts';
import { openAppParts } from './app-parts.ts';
import { type AuditTrail, openAuditTrail } from './audit-trail.ts';
import { openAuthorization } from './authorization.ts';
import { doctorProofs } from './doctor-proof.ts';
import { type Health, healthOf } from './health.ts';
import type { IssuedInstall, IssueRequest } from './issuing.ts';
import { jwksOf } from './jwks.ts';
import { type Evidence, openRecords } from './records.ts';
import { openRedis, type SharedRedis } from './redis.ts';
import { forgetApps, observeRegistration } from './registration-observer.ts';
import { newIdentity, replicaReport } from './replica.ts';
import { derivedKey, ledgerSecret, secretFingerprint } from './secret.ts';
import { type Subject, type SubjectHash, subjectHashes } from './subject.ts';

/** The opened service: its operations, but not its parts. */
export interface Service {
  /** The apps that are served now. */
  readonly apps: ServedApps;
  /**
   * To be called before a version is chosen. Undefined if the operators' orders were read recently, which is almost always
   * the case; otherwise resolves when they are. Never throws.
   */
  ensureFreshOrders(): Promise<void> | undefined;
  /** Issues one install verification token. Throws `not_registered`, `clock_off`, `ledger_unavailable` or `signer_unavailable`. */
  issue(request: IssueRequest): Promise<IssuedInstall>;
  /**
   * Records evidence that a token was used (docs/http-api.md, `POST /installs`). Evidence that matches no token changes
   * nothing. Throws `ledger_unavailable` or `clock_off`.
   */
  confirm(kind: EvidenceKind, evidence: Evidence): Promise<void>;
  /** Returns the public halves that are registered and held here, with their key ids (RFC 7517). */
  jwks(): { keys: JWK[] };
  /** Returns the last known state of each app and each dependency; makes no remote call. */
  health(): Health;
  /** To be called when App Store Connect may have another package: pulls it in the background. */
  packagesChanged(): void;
  /** Checks keys, registration and package manifests now; resolves when that is done. */
  reconcile(): Promise<void>;
  /**
   * Serves these apps from now on; opens their keys first. Throws `key_*`, `config_invalid` or `state_invalid`, and then
   * serves the same apps as before. One call at a time.
   */
  useApps(apps: readonly AppConfig[]): Promise<void>;
  /** Reopens files that another program has renamed. */
  reopenFiles(): Promise<void>;
  /** Closes everything that `openService` opened. Throws `state_invalid` if audit lines could not be written. */
  close(): Promise<void>;
}

/** The parts that the HTTP server is built from. */
export type ServerDeps = {
  readonly service: Service;
  readonly config: Config;
  readonly metrics: Metrics;
  /** The versions of each app that have a package. */
  readonly catalogue: Pick<Catalogue, 'versionsOf' | 'offerOf' | 'currentOf'>;
  /** The counters that all replicas share; if undefined, each replica counts for itself. */
  readonly redis: SharedRedis | undefined;
  /** webdist's own authorization server for devices, if it is configured. */
  readonly authorizationServer: AuthorizationServer | undefined;
  /** Signs device cookies and identifies subjects, with the ledger's secret. */
  readonly hashSubject: (subject: Subject) => SubjectHash;
  /** Whether a request's proof shows that `webdist doctor` of this installation sent it. */
  readonly isDoctor: (proof: string) => boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly tracing: Tracing | undefined;
  /** Records events in the audit log, if there is one. */
  readonly audit: Pick<AuditTrail, 'record'> | undefined;
  readonly log: Logger;
};

/** The inputs that the service gets from the process that runs it. */
export type ServiceDeps = {
  readonly env: Environment;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** See `Clock.timeOriginMs`. */
  readonly timeOriginMs?: () => number;
  /** False for a command that ends soon: nothing is checked until `reconcile` is called. Default: true. */
  readonly autoReconcile?: boolean;
  readonly tracing?: Tracing | undefined;
};

/** The service, and what its HTTP server is built from. */
export type OpenedService = { readonly service: Service; readonly serverDeps: ServerDeps };

/** Opens everything. Throws `config_invalid`, `key_*` or `state_invalid` for problems that only an operator can fix. */
export async function openService(
  config: Config,
  { env, log, now = Date.now, timeOriginMs = systemClock.timeOriginMs, autoReconcile = true, tracing }: ServiceDeps,
): Promise<OpenedService> {
  await using opening = new AsyncDisposableStack();
  const metrics = openMetrics();
  const secret = config.ledger.secret ?? (await ledgerSecret(config.dataDir));
  const hashSubject = subjectHashes(derivedKey(secret, 'subject'));
  const isProof = doctorProofs(secret);
  const records = await openRecords(config, {
    secretFingerprint: secretFingerprint(secret),
    nonces: { open: (nonce, nowSeconds) => parts.nonces.open(nonce, nowSeconds) },
    bundleIdOf: (appleItemId) => parts.apps.withId(appleItemId)?.bundleId,
    hash: hashSubject,
    metrics,
    log,
    now,
    clockOffsetSeconds: () => parts.keys.clockOffsetSeconds,
  });
  opening.defer(() => records.close());
  const orders = await followOrders({ store: await openOrderStore(config), log, now });
  opening.defer(() => orders.close());
  const { redisUrl } = config.rateLimit;
  const redis = redisUrl
    ? await openRedis(redisUrl, { key: derivedKey(secret, 'rate limit'), metrics, log })
    : undefined;
  opening.defer(async () => redis?.close());
  const audit = await openAuditTrail(config.audit, { metrics, log, now });
  opening.defer(async () => audit?.close());
  const observer = observeRegistration(metrics, tracing, now);
  const nonceKey = derivedKey(secret, 'nonce');
  const hash = hashSubject;
  const partsDeps = {
    env,
    log,
    now,
    timeOriginMs,
    autoReconcile,
    observer,
    orders,
    metrics,
    records,
    hash,
    audit,
    nonceKey,
  };
  let parts = await openAppParts(config, config.apps, partsDeps);
  opening.defer(() => parts.close());
  // An order can name any version in the folder, so the first token needs the list of them.
  if (autoReconcile) await parts.catalogue.readFolder();
  if (autoReconcile) void parts.readPackages();
  const oauthKey = derivedKey(secret, 'device oauth');
  const authorizationServer = await openAuthorization(config.deviceSide.oauth, { key: oauthKey, redis, now });
  const catalogue: ServerDeps['catalogue'] = {
    versionsOf: (app) => parts.catalogue.versionsOf(app),
    offerOf: (app) => parts.catalogue.offerOf(app),
    currentOf: (app) => parts.catalogue.currentOf(app),
  };
  // Events arrive in groups, so only one pull runs at a time, with at most one more after it.
  const pull = coalesced(() => parts.pull().then(() => parts.readPackages()));
  opening.defer(() => pull.idle());
  const opened = opening.move();
  const service: Service = {
    get apps() {
      return parts.apps;
    },
    ensureFreshOrders: orders.ensureFresh,
    issue: (request) => parts.issue(request),
    async confirm(kind, evidence) {
      const { clock } = parts;
      // Evidence with a wrong date would lead to a wrong `dtype` for as long as the clock was off.
      if (clock.problem) throw clock.problem;
      await records.confirm(kind, evidence, Math.floor(clock.now() / 1000));
    },
    jwks: () => jwksOf(parts.keys),
    health: () => healthOf(config, { ...parts, records, redis, orders, manifests: parts.catalogue.manifests }),
    packagesChanged: () => void pull.run(),
    async reconcile() {
      await Promise.all([parts.keys.reconcile(), parts.readPackages()]);
    },
    async useApps(apps) {
      const next = await openAppParts(config, apps, partsDeps);
      await next.catalogue.refresh();
      const previous = parts;
      parts = next;
      await previous.close();
      const removed = previous.apps.all.filter(({ appleItemId }) => !next.apps.withId(appleItemId));
      forgetApps(
        metrics,
        removed.map(({ bundleId }) => bundleId),
      );
    },
    reopenFiles: async () => audit?.reopen(),
    close: () => opened.disposeAsync(),
  };
  const identity = newIdentity();
  if (autoReconcile)
    orders.join(
      () => replicaReport(identity, service.health(), { ...parts, apple: observer.apple }),
      (followed) => {
        audit?.record({ event: 'orders_followed', revision: followed.revision, apps: followed.apps });
        void parts.catalogue.refresh();
      },
    );
  return {
    service,
    serverDeps: {
      service,
      config,
      metrics,
      catalogue,
      redis,
      authorizationServer,
      hashSubject,
      isDoctor: (proof) => isProof(proof, now()),
      now,
      tracing,
      audit,
      log,
    },
  };
}
