/** `issue` as the service does it: subjects hashed, the version filled in, each token counted and noted for the audit. */

import type { AppConfig, Config } from '../config/config.ts';
import { isWebdistError } from '../errors.ts';
import { type Install, type Issued, issue } from '../install-token/issue.ts';
import type { Metrics } from '../metrics.ts';
import type { Catalogue } from '../packages/catalogue.ts';
import type { Keys } from '../registration/keys.ts';
import type { AuditTrail } from './audit-trail.ts';
import type { Records, Subject } from './records.ts';
import { timedSigners } from './timed-signer.ts';

/** One request for a token, as the caller sent it: the subject is not hashed yet. */
export type IssueRequest = Omit<Install, 'subject' | 'app'> & {
  readonly app: AppConfig;
  readonly subject?: Subject | undefined;
  /** For the audit: `page`, `device`, `command`, or `server:` and the name of its API key. */
  readonly caller: string;
};

/** The issued token, with the hash of the subject for the log. */
export type IssuedInstall = Issued & { readonly subjectHash: string | undefined };

type Deps = {
  readonly keys: Pick<Keys, 'fresh' | 'keyFor' | 'clockOffsetSeconds'>;
  readonly records: Pick<Records, 'hash' | 'dtypeFor'>;
  readonly catalogue: Pick<Catalogue, 'currentIdOf'>;
  readonly metrics: Metrics;
  readonly audit: Pick<AuditTrail, 'record'> | undefined;
  readonly now: () => number;
};

/** How far this machine's clock may be ahead of Apple's before tokens are dated back by the difference. */
const CLOCK_TOLERANCE_SECONDS = 2;

/** Returns `issue`, which throws `not_registered`, `ledger_unavailable` or `signer_unavailable`. */
export function openIssuing({ tokenLifetimeSeconds }: Pick<Config, 'tokenLifetimeSeconds'>, deps: Deps) {
  const { keys, records, catalogue, metrics, audit, now } = deps;
  const timed = timedSigners(metrics);
  const parts = {
    async keyFor(app: Install['app']) {
      await keys.fresh();
      const key = keys.keyFor(app);
      return { ...key, signer: timed(key.signer, key.keyId) };
    },
    dtypeFor: records.dtypeFor,
    // A clock that is ahead would date tokens into the future, and devices refuse those; dating back is harmless.
    now: () => now() - aheadSeconds(keys.clockOffsetSeconds) * 1000,
    lifetimeSeconds: tokenLifetimeSeconds,
  };
  return async ({ app, subject, caller, ...request }: IssueRequest): Promise<IssuedInstall> => {
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
  };
}

/** Seconds by which this machine's clock is ahead of Apple's; 0 when that is too little to be measured. */
const aheadSeconds = (offsetSeconds = 0) => (offsetSeconds < -CLOCK_TOLERANCE_SECONDS ? -offsetSeconds : 0);
