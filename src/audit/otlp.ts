/**
 * Audit lines as OpenTelemetry log records, sent with OTLP/HTTP in JSON
 * (https://opentelemetry.io/docs/specs/otlp/#otlphttp). A batch that was not acknowledged is sent again, so a line can
 * arrive twice.
 */

import { hostname } from 'node:os';
import { version } from '../version.ts';
import type { AuditLine } from './chain.ts';
import type { Sink } from './sink.ts';

const TIMEOUT_MS = 10_000;
/** INFO, in the table of severities of the OpenTelemetry specification. */
const SEVERITY_NUMBER = 9;

const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });

function exportRequest(lines: readonly AuditLine[]) {
  const resource = {
    attributes: [
      attribute('service.name', 'webdist'),
      attribute('service.version', version),
      attribute('host.name', hostname()),
    ],
  };
  const logRecords = lines.map(({ text, event, at }) => ({
    timeUnixNano: `${BigInt(Date.parse(at)) * 1_000_000n}`,
    severityNumber: SEVERITY_NUMBER,
    severityText: 'INFO',
    eventName: `webdist.audit.${event}`,
    body: { stringValue: text },
    attributes: [attribute('event.name', event)],
  }));
  return { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'webdist.audit', version }, logRecords }] }] };
}

/** `otlp+http://collector:4318/v1/logs` or `otlp+https://…`. The headers may contain credentials. */
export function openOtlpSink(url: URL, headers: Readonly<Record<string, string>>): Sink {
  const collector = url.href.slice('otlp+'.length);
  return {
    name: url.href,
    async write(lines) {
      const answer = await fetch(collector, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(exportRequest(lines)),
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`The collector answered ${answer.status}.`);
    },
    async reopen() {
      // There is no file.
    },
    async close() {
      // Nothing stays open.
    },
  };
}
