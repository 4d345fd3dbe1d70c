/** The audit log of the service, if one is configured (docs/audit.md). */

import type { Logger } from 'pino';
import { openAudit, type SinkEvents } from '../audit/audit.ts';
import type { AuditEntry } from '../audit/chain.ts';
import { openSink, type SinkOptions } from '../audit/sinks.ts';
import type { Issued } from '../install-token/issue.ts';
import type { Metrics } from '../metrics.ts';
import type { DtypeSource } from './dtype-source.ts';

/** The record of one token. */
type TokenRecord = {
  readonly app: { readonly bundleId: string };
  readonly issued: Issued;
  readonly dtypeSource: DtypeSource;
  readonly subjectTag: string | undefined;
  readonly caller: string;
};

/** An event that is not a token, without its time. */
type AuditEvent = AuditEntry extends infer Entry ? (Entry extends AuditEntry ? Omit<Entry, 'at'> : never) : never;

/** Records issued tokens and other events. */
export interface AuditTrail {
  recordToken(token: TokenRecord): void;
  record(event: AuditEvent): void;
  /** Opens renamed files again. */
  reopen(): Promise<void>;
  /** Writes what is waiting. Throws `state_invalid`. */
  close(): Promise<void>;
}

export type AuditSettings = SinkOptions & { readonly sinks: readonly string[] };

/** How often the last hash is logged, so that the audit log can be checked against the log. */
const HEAD_EVERY_MS = 60_000;

/** Opens the sinks; returns undefined if there are none. Throws `state_invalid`. */
export async function openAuditTrail(
  settings: AuditSettings,
  { metrics, log, now }: { readonly metrics: Metrics; readonly log: Logger; readonly now: () => number },
): Promise<AuditTrail | undefined> {
  if (settings.sinks.length === 0) return undefined;
  const sinks = await Promise.all(settings.sinks.map((url) => openSink(url, settings)));
  const audit = openAudit(sinks, (sink) => auditReport(sink, { metrics, log, nowMs: () => performance.now() }));
  return {
    recordToken({ app, issued, dtypeSource, subjectTag, caller }) {
      const { nonce, keyId, dtype } = issued;
      const at = new Date(issued.issuedAtSeconds * 1000).toISOString();
      const event = 'install_token_issued';
      audit.record({ at, event, nonce, keyId, app: app.bundleId, dtype, dtypeSource, subject: subjectTag, caller });
    },
    record: (event) => audit.record({ at: new Date(now()).toISOString(), ...event }),
    reopen: audit.reopen,
    close: audit.close,
  };
}

type ReportDeps = {
  readonly metrics: Pick<Metrics, 'auditLines' | 'auditFailures' | 'auditLost'>;
  readonly log: Logger;
  readonly nowMs: () => number;
};

/** Counts what happens to a sink. Logs the beginning of a failure once, and its end with the number of lost lines. */
export function auditReport(sink: string, { metrics, log, nowMs }: ReportDeps): SinkEvents {
  let headLoggedAtMs = Number.NEGATIVE_INFINITY;
  let isFailing = false;
  let lost = 0;
  return {
    written(lines, head) {
      metrics.auditLines.inc(lines);
      if (isFailing)
        log.info(
          { event: 'audit_written', sink, lost },
          lost === 0
            ? 'the audit log can be written again, and no line was lost'
            : `the audit log can be written again; ${lost} lines are missing there`,
        );
      isFailing = false;
      lost = 0;
      if (nowMs() - headLoggedAtMs < HEAD_EVERY_MS) return;
      headLoggedAtMs = nowMs();
      log.info({ event: 'audit_head', sink, head }, 'the audit log now ends with this hash');
    },
    failed(err) {
      metrics.auditFailures.inc();
      if (!isFailing)
        log.error(
          { event: 'audit_not_written', sink, err },
          'the audit log cannot be written; the lines are kept and writing is retried',
        );
      isFailing = true;
    },
    lost(lines) {
      metrics.auditLost.inc(lines);
      if (lost === 0)
        log.error({ event: 'audit_lost', sink }, 'too many audit lines are waiting; from now on lines are lost');
      lost += lines;
    },
  };
}
