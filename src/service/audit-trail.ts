/** The audit file of the service, if one is configured (docs/audit.md). */

import type { Logger } from 'pino';
import { type AuditDeps, openAudit } from '../audit/audit.ts';
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
  const report = auditReport({ metrics, log, nowMs: () => performance.now() });
  const audit = await openAudit(path, report);
  return {
    record({ app, issued, dtypeSource, subjectTag, caller }) {
      const { nonce, keyId, dtype } = issued;
      const at = new Date(issued.issuedAtSeconds * 1000).toISOString();
      if (audit.record({ at, nonce, keyId, app: app.bundleId, dtype, dtypeSource, subject: subjectTag, caller }))
        return;
      report.lost();
    },
    close: () => audit.close(),
  };
}

type ReportDeps = {
  readonly metrics: Pick<Metrics, 'auditLines' | 'auditFailures' | 'auditLost'>;
  readonly log: Logger;
  readonly nowMs: () => number;
};

/** Counts what happens to the file. Logs the beginning of a failure once, and its end with the number of lost lines. */
export function auditReport({ metrics, log, nowMs }: ReportDeps): AuditDeps & { lost(): void } {
  let headLoggedAtMs = Number.NEGATIVE_INFINITY;
  let isFailing = false;
  let lost = 0;
  return {
    written(lines, head) {
      metrics.auditLines.inc(lines);
      if (isFailing)
        log.info(
          { event: 'audit_written', lost },
          lost === 0
            ? 'the audit file can be written again, and no line was lost'
            : `the audit file can be written again; ${lost} tokens have no line there, but one in this log`,
        );
      isFailing = false;
      lost = 0;
      if (nowMs() - headLoggedAtMs < HEAD_EVERY_MS) return;
      headLoggedAtMs = nowMs();
      log.info({ event: 'audit_head', head }, 'the audit file now ends with this hash');
    },
    failed(err) {
      metrics.auditFailures.inc();
      if (!isFailing)
        log.error(
          { event: 'audit_not_written', err },
          'the audit file cannot be written; the lines are kept and writing is retried',
        );
      isFailing = true;
    },
    lost() {
      metrics.auditLost.inc();
      lost += 1;
      if (lost === 1)
        log.error(
          { event: 'audit_lost' },
          'the queue for the audit file is full; from now on tokens have no line there',
        );
    },
  };
}
