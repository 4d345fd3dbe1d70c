/**
 * The settings of tracing, by OpenTelemetry's own names (OpenTelemetry specification, "Environment Variable
 * Specification" and "OTLP Exporter Configuration").
 */

import { z } from 'zod';
import { oneOf, whole } from './forms.ts';
import type { Given } from './read.ts';

const collectorUrl = z.string().refine((text) => {
  if (!URL.canParse(text) || /\s/.test(text)) return false;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && !url.username && !url.password;
}, 'expected the http or https address of a collector, such as http://localhost:4318, without credentials');

const ratio = z
  .string()
  .regex(/^(0|1|0?\.\d{1,12}|[01]\.\d{1,12})$/, 'expected a number from 0 to 1')
  .transform(Number)
  .refine((value) => value <= 1, 'expected a number from 0 to 1');

const milliseconds = whole(0, 86_400_000);
const spans = whole(1, 1_000_000);

export const tracingSettings = {
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    form: collectorUrl,
    about: 'OpenTelemetry collector, such as `http://localhost:4318`; turns traces on (docs/operations.md)',
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: { form: collectorUrl, about: 'the same for traces alone, with its whole path' },
  OTEL_EXPORTER_OTLP_HEADERS: { form: z.string(), about: 'headers for the collector, `name=value,…`' },
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: { form: z.string(), about: 'the same for traces alone' },
  OTEL_EXPORTER_OTLP_PROTOCOL: { form: oneOf('http/protobuf'), about: 'the one protocol there is here' },
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: { form: oneOf('http/protobuf'), about: 'the same for traces alone' },
  OTEL_TRACES_EXPORTER: { form: oneOf('otlp', 'none'), about: '`none` turns traces off, `otlp` on' },
  OTEL_SDK_DISABLED: { form: z.string(), about: '`true` turns traces off' },
  OTEL_SERVICE_NAME: { form: z.string(), about: '`service.name` of traces (default: `webdist`)' },
  OTEL_RESOURCE_ATTRIBUTES: { form: z.string(), about: 'what else to say of this process in traces, `name=value,…`' },
  OTEL_TRACES_SAMPLER: {
    form: oneOf(
      'always_on',
      'always_off',
      'traceidratio',
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
    ),
    default: 'parentbased_always_on',
    about: 'which requests are traced',
  },
  OTEL_TRACES_SAMPLER_ARG: { form: ratio, default: '1', about: 'share of requests for `…traceidratio`, 0 to 1' },
  OTEL_BSP_SCHEDULE_DELAY: { form: milliseconds, default: '5000', about: 'milliseconds between two batches of spans' },
  OTEL_BSP_EXPORT_TIMEOUT: { form: milliseconds, default: '30000', about: 'milliseconds a batch may take' },
  OTEL_BSP_MAX_QUEUE_SIZE: { form: spans, default: '2048', about: 'spans that may wait; what is over is dropped' },
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: { form: spans, default: '512', about: 'spans in one batch' },
} as const;

/** Undefined: no traces. */
export function readTracing(values: Given) {
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
