/**
 * Reads from OpenTelemetry's variables how to send traces (OpenTelemetry specification, "OTLP Exporter Configuration").
 */

import type { Values } from './settings.ts';

/** Returns the settings of tracing; undefined if it is off. */
export function tracingOf(values: Values) {
  const base = values.OTEL_EXPORTER_OTLP_ENDPOINT;
  const exporter = values.OTEL_TRACES_EXPORTER;
  const url =
    values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? `${(base ?? 'http://localhost:4318').replace(/\/$/, '')}/v1/traces`;
  const isOn = exporter === 'otlp' || base !== undefined || values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT !== undefined;
  const isOff = exporter === 'none' || values.OTEL_SDK_DISABLED?.toLowerCase() === 'true';
  if (!isOn || isOff) return undefined;
  return {
    url,
    headers: [values.OTEL_EXPORTER_OTLP_HEADERS, values.OTEL_EXPORTER_OTLP_TRACES_HEADERS].filter(
      (text) => text !== undefined,
    ),
    serviceName: values.OTEL_SERVICE_NAME,
    resourceAttributes: values.OTEL_RESOURCE_ATTRIBUTES,
    sampler: { name: values.OTEL_TRACES_SAMPLER, ratio: values.OTEL_TRACES_SAMPLER_ARG },
    batch: {
      scheduledDelayMillis: values.OTEL_BSP_SCHEDULE_DELAY,
      exportTimeoutMillis: values.OTEL_BSP_EXPORT_TIMEOUT,
      maxQueueSize: values.OTEL_BSP_MAX_QUEUE_SIZE,
      maxExportBatchSize: values.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    },
  };
}
