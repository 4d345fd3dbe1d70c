/**
 * Records spans with OpenTelemetry's SDK, and sends them as OTLP (`http/protobuf` only). Loaded only when tracing is
 * on; registers nothing globally. When the collector is down, spans are lost, but tokens are still issued.
 */

import {
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { ExportResultCode, parseKeyPairsIntoRecord, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import { version } from '../version.ts';
import type { Span, SpanOptions, Tracing, TracingSettings } from './tracing.ts';

/** Shutting down waits at most this long for the collector. */
const CLOSE_MS = 1500;

/** The interval of log lines while the collector is down. */
const QUIET_MS = 5 * 60 * 1000;

const samplers: Readonly<Record<string, (ratio: number) => Sampler>> = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (ratio) => new TraceIdRatioBasedSampler(ratio),
  parentbased_always_on: () => new ParentBasedSampler({ root: new AlwaysOnSampler() }),
  parentbased_always_off: () => new ParentBasedSampler({ root: new AlwaysOffSampler() }),
  parentbased_traceidratio: (ratio) => new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
};

type Tracer = ReturnType<TracerProvider['getTracer']>;

/** The exporter itself reads OpenTelemetry's variables for certificates, compression and timeouts. */
export function openOpenTelemetry(settings: TracingSettings, log: Logger): Tracing {
  const { sampler, batch } = settings;
  const exporter = new OTLPTraceExporter({
    url: settings.url,
    headers: Object.assign({}, ...settings.headers.map((text) => parseKeyPairsIntoRecord(text))),
  });
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': 'webdist',
        'service.version': version,
        ...parseKeyPairsIntoRecord(settings.resourceAttributes),
        ...(settings.serviceName && { 'service.name': settings.serviceName }),
      }),
    ),
    sampler: samplers[sampler.name]?.(sampler.ratio) ?? new AlwaysOffSampler(),
    spanProcessors: [new BatchSpanProcessor({ exporter: withFailureLog(exporter, log), ...batch })],
  });
  const tracer = provider.getTracer('webdist', version);
  const propagator = new W3CTraceContextPropagator();
  const carrier = {
    get: (headers: Record<string, unknown>, name: string) => headers[name] as string,
    keys: Object.keys,
  };
  return {
    start: (name, { headers, ...options } = {}) =>
      startIn(headers ? propagator.extract(ROOT_CONTEXT, headers, carrier) : ROOT_CONTEXT, tracer, name, options),
    async close() {
      const sent = provider.shutdown().catch(() => undefined);
      await Promise.race([sent, new Promise((done) => setTimeout(done, CLOSE_MS))]);
    },
  };
}

const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT };

function startIn(
  parent: Context,
  tracer: Tracer,
  name: string,
  { kind, attributes = {}, startedAt }: SpanOptions,
): Span {
  const span = tracer.startSpan(
    name,
    { attributes, ...(kind && { kind: kinds[kind] }), ...(startedAt !== undefined && { startTime: startedAt }) },
    parent,
  );
  const context = trace.setSpan(parent, span);
  const ids = span.spanContext();
  return {
    isRecording: span.isRecording(),
    ids,
    start: (part, options = {}) => startIn(context, tracer, part, options),
    set: (more) => void span.setAttributes(more),
    link: (other) =>
      void span.addLink({ context: { ...other.ids, traceFlags: TraceFlags.SAMPLED } satisfies SpanContext }),
    fail(errorType) {
      span.setStatus({ code: SpanStatusCode.ERROR });
      if (errorType) span.setAttribute('error.type', errorType);
    },
    end: () => span.end(),
  };
}

/** Logs the exporter's failures: the first at once, later ones combined. */
function withFailureLog(exporter: SpanExporter, log: Logger): SpanExporter {
  let lost = 0;
  let quietUntil = 0;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        if (result.code !== ExportResultCode.SUCCESS) {
          lost += spans.length;
          if (performance.now() >= quietUntil) {
            const reason = reasonOf(result.error);
            log.warn(
              { event: 'traces_not_exported', spans: lost, reason },
              'the OpenTelemetry collector did not accept spans',
            );
            lost = 0;
            quietUntil = performance.now() + QUIET_MS;
          }
        }
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

/** The code of a network error, or the HTTP status; never the collector's text. */
function reasonOf(error: (Error & { code?: unknown }) | undefined): string {
  const { code } = error ?? {};
  return typeof code === 'string' || typeof code === 'number' ? String(code) : 'no answer';
}
