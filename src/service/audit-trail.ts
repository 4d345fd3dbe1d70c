/** The audit file as the service writes it, where the settings name one. */

import type { Logger } from 'pino';
import { openAudit } from '../audit/audit.ts';
import type { Issued } from '../install-token/issue.ts';
import type { Metrics } from '../metrics.ts';

/** What is noted of one token. */
type Note = {
  readonly app: { readonly bundleId: string };
  readonly issued: Issued;
  readonly subjectTag: string | undefined;
  readonly caller: string;
};

export interface AuditTrail {
  record(note: Note): void;
  /** Writes what waits. Throws `state_invalid`. */
  close(): Promise<void>;
}

/** A head in the log this often lets a file be held against the log. */
const HEAD_EVERY_MS = 60_000;

/** Opens the file; undefined without a path. Throws `state_invalid`. */
export async function openAuditTrail(
  path: string | undefined,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
): Promise<AuditTrail | undefined> {
  if (path === undefined) return undefined;
  let toldAtMs = 0;
  const audit = await openAudit(path, {
    written(lines, head) {
      metrics.auditLines.inc(lines);
      if (Date.now() - toldAtMs < HEAD_EVERY_MS) return;
      toldAtMs = Date.now();
      log.info({ event: 'audit_head', head }, 'the audit file ends with this hash now');
    },
    failed(err) {
      metrics.auditFailures.inc();
      log.error(
        { event: 'audit_not_written', err },
        'the audit file cannot be written; the lines are kept and tried again',
      );
    },
  });
  return {
    record({ app, issued, subjectTag, caller }) {
      const { nonce, keyId, dtype } = issued;
      const at = new Date(issued.issuedAtSeconds * 1000).toISOString();
      if (audit.record({ at, nonce, keyId, app: app.bundleId, dtype, subject: subjectTag, caller })) return;
      metrics.auditLost.inc();
      // The log has a line of its own for this token, so it is not lost altogether.
      log.error({ event: 'audit_lost', nonce }, 'too many lines wait for the audit file: this token has none');
    },
    close: () => audit.close(),
  };
}
