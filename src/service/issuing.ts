/** The service's `issue`: hashes the subject, fills in the version, counts each token and records it for the audit. */

import type { AppConfig, Config } from '../config/config.ts';
import { isWebdistError, WebdistError } from '../errors.ts';
import { type Install, type Issued, issue } from '../install-token/issue.ts';
import type { Nonces } from '../install-token/nonce.ts';
import type { Metrics } from '../metrics.ts';
import type { FollowedOrders } from '../orders/follow.ts';
import type { Catalogue } from '../packages/catalogue.ts';
import type { Keys } from '../registration/keys.ts';
import type { AuditTrail } from './audit-trail.ts';
import { type DtypeSource, dtypeSourceOf } from './dtype-source.ts';
import type { Records } from './records.ts';
import type { Subject, SubjectHash } from './subject.ts';
import { timedKeys } from './timed-signer.ts';
import type { TokenClock } from './token-clock.ts';

/** One request for a token, as the caller sent it; the subject is not hashed yet. */
export type IssueRequest = Omit<Install, 'subject' | 'app'> & {
  readonly app: AppConfig;
  readonly subject?: Subject | undefined;
  /** The caller, for the audit: `page`, `device`, `command`, or `server:` and the name of its API key. */
  readonly caller: string;
};

/** The issued token, with the tag of the subject and the source of the `dtype` for the log. */
export type IssuedInstall = Issued & { readonly subjectTag: string | undefined; readonly dtypeSource: DtypeSource };

type Deps = {
  readonly keys: Pick<Keys, 'ensureFresh' | 'keyFor'>;
  readonly records: Pick<Records, 'decide' | 'addIssued'>;
  readonly nonces: Pick<Nonces, 'seal'>;
  readonly hash: (subject: Subject) => SubjectHash;
  readonly catalogue: Pick<Catalogue, 'currentIdOf' | 'offerOf'>;
  readonly orders: Pick<FollowedOrders, 'of' | 'ensureFresh'>;
  readonly metrics: Metrics;
  readonly audit: Pick<AuditTrail, 'recordToken'> | undefined;
  readonly clock: TokenClock;
};

/**
 * Returns `issue`, which throws `not_registered`, `version_held`, `clock_off`, `ledger_unavailable` or `signer_unavailable`,
 * and `ended`, which resolves when no call is in progress.
 */
export function openIssuing({ tokenLifetimeSeconds }: Pick<Config, 'tokenLifetimeSeconds'>, deps: Deps) {
  const { keys, records, nonces, hash, catalogue, orders, metrics, audit, clock } = deps;
  const timed = timedKeys(metrics);
  const issueDeps = {
    keyFor(app: Install['app']) {
      const [keysRead, ordersRead] = [keys.ensureFresh(), orders.ensureFresh()];
      const key = () => timed(keys.keyFor(app));
      return keysRead || ordersRead ? Promise.all([keysRead, ordersRead]).then(key) : key();
    },
    decide: records.decide,
    addIssued: records.addIssued,
    nonce: nonces.seal,
    now() {
      const { problem } = clock;
      if (problem) throw problem;
      return clock.now();
    },
    lifetimeSeconds: tokenLifetimeSeconds,
  };
  const refuseOrdered = (app: AppConfig, appleVersionId: string | undefined) => {
    if (orders.of(app).isStopped) throw stopped();
    if (appleVersionId !== undefined && catalogue.offerOf(app).held.includes(appleVersionId)) throw held();
  };
  let inProgress = 0;
  let whenEnded: (() => void) | undefined;
  const issueOne = async (request: IssueRequest): Promise<IssuedInstall> => {
    inProgress++;
    const { app, subject, caller } = request;
    const { tag, tagText: subjectTag } = subject ? hash(subject) : {};
    const appleVersionId = request.appleVersionId ?? catalogue.currentIdOf(app);
    try {
      refuseOrdered(app, appleVersionId);
      const issued = await issue({ ...request, subject: tag, appleVersionId }, issueDeps);
      // Signing can take a while, and an order is in force as soon as this process knows it.
      refuseOrdered(app, appleVersionId);
      const dtypeSource = dtypeSourceOf(subject, caller, request);
      metrics.installTokens.inc({ app: app.bundleId, dtype: issued.dtype, result: 'issued', source: dtypeSource });
      audit?.recordToken({ app, issued, dtypeSource, subjectTag, caller });
      return { ...issued, subjectTag, dtypeSource };
    } catch (error) {
      const result = isWebdistError(error) ? error.code : 'internal_error';
      metrics.installTokens.inc({ app: app.bundleId, dtype: 'none', result, source: 'none' });
      throw error;
    } finally {
      if (--inProgress === 0) whenEnded?.();
    }
  };
  const ended = async () => {
    if (inProgress > 0) await new Promise<void>((resolve) => (whenEnded = resolve));
  };
  return { issue: issueOne, ended };
}

const ORDERED_SECONDS = 60;

const stopped = () =>
  new WebdistError('not_registered', 'The operator has stopped signing for this app.', {
    retryAfterSeconds: ORDERED_SECONDS,
  });

const held = () =>
  new WebdistError('version_held', 'This version is on hold, and there is no other.', {
    retryAfterSeconds: ORDERED_SECONDS,
  });
