/** The audit file of the service, if one is configured (docs/audit.md). */

import type { Logger } from 'pino';
import { openAudit } from '../audit/audit.ts';
import type { Issued } from '../install-token/issue.ts';
import type { Metrics } from '../metrics.ts';
import type { DtypeSource } from './dtype-source.ts';

/** The record of one token. */
type AuditRecord = {
  readonly app: { readonly bundleId: string };
  readonly issued: Issued;
  readonly dtypeSource: DtypeSource;
  readonly subjectTag: string | undefined;
  readonly caller: string;
};

/** Records issued tokens. */
export interface AuditTrail {
  record(token: AuditRecord): void;
  /** Writes what is queued. Throws `state_invalid`. */
  close(): Promise<void>;
}

/** How often the last hash of the file is logged, so that the file can be checked against the log. */
const HEAD_EVERY_MS = 60_000;

/** Opens the file; returns undefined without a path. Throws `state_invalid`. */
export async function openAuditTrail(
  path: string | undefined,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
): Promise<AuditTrail | undefined> {
  if (path === undefined) return undefined;
  let loggedAtMs = 0;
  const audit = await openAudit(path, {
    written(lines, head) {
      metrics.auditLines.inc(lines);
      if (Date.now() - loggedAtMs < HEAD_EVERY_MS) return;
      loggedAtMs = Date.now();
      log.info({ event: 'audit_head', head }, 'the audit file now ends with this hash');
    },
    failed(err) {
      metrics.auditFailures.inc();
      log.error(
        { event: 'audit_not_written', err },
        'the audit file cannot be written; the lines are kept and writing is retried',
      );
    },
  });
  return {
    record({ app, issued, dtypeSource, subjectTag, caller }) {
      const { nonce, keyId, dtype } = issued;
      const at = new Date(issued.issuedAtSeconds * 1000).toISOString();
      if (audit.record({ at, nonce, keyId, app: app.bundleId, dtype, dtypeSource, subject: subjectTag, caller }))
        return;
      metrics.auditLost.inc();
      // The log still has its own line for this token.
      log.error({ event: 'audit_lost', nonce }, 'the queue for the audit file is full: this token has no line there');
    },
    close: () => audit.close(),
  };
}
