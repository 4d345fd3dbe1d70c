/** Reads the settings of the audit log. */

import type { Values } from './settings.ts';

export const auditNames = ['WEBDIST_AUDIT', 'WEBDIST_AUDIT_MAX_MB', 'OTEL_EXPORTER_OTLP_HEADERS'] as const;

/** Where audit lines go. The headers for collectors may contain credentials. */
export const auditOf = (values: Pick<Values, (typeof auditNames)[number]>) => ({
  sinks: values.WEBDIST_AUDIT ?? [],
  maxFileBytes: values.WEBDIST_AUDIT_MAX_MB * 1024 * 1024,
  otlpHeaders: headersIn(values.OTEL_EXPORTER_OTLP_HEADERS ?? ''),
});

/** `name=value,…`, percent-encoded (OpenTelemetry specification, "OTLP Exporter Configuration"). */
const headersIn = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text
      .split(',')
      .map((pair) => /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair))
      .filter((match) => match !== null)
      .map(([, name = '', value = '']) => [name, decoded(value)]),
  );

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
