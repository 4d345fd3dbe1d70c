/**
 * The tracing interface for the rest of the code. Work runs in a child span of the current span, or as a plain call if
 * nothing is traced. Nothing here depends on OpenTelemetry (see open-telemetry.ts).
 *
 * Spans leave this machine, so they never contain a token, key, cookie, subject, nonce or address.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';

/** Attributes of a span. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** How a span starts. */
export type SpanOptions = {
  /** An incoming request, an outgoing request, or (default) internal work. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: Attributes;
  /** Milliseconds since 1970; default: now. */
  readonly startedAt?: number;
};

/** A span: one piece of traced work. */
export interface Span {
  /** False if the sampler dropped this trace. */
  readonly isRecording: boolean;
  readonly ids: { readonly traceId: string; readonly spanId: string };
  /** Starts a child span. */
  start(name: string, options?: SpanOptions): Span;
  set(attributes: Attributes): void;
  /** Links to a span that is not the parent. */
  link(other: Span): void;
  /** Marks the span as failed; `error.type` is a code or a class, never a message. */
  fail(errorType?: string): void;
  end(): void;
}

/** Starts traces and sends them. */
export interface Tracing {
  /** Starts a root span, or a child of the caller's span if the headers have a `traceparent` (W3C Trace Context). */
  start(name: string, options?: SpanOptions & { readonly headers?: IncomingHttpHeaders }): Span;
  /** Sends the remaining spans, within a time limit. Never throws. */
  close(): Promise<void>;
}

/** Where to send spans, and how many. Strings have the form of OpenTelemetry's variables. */
export type TracingSettings = {
  readonly url: string;
  /** `name=value,…`; later entries take precedence. Secret. */
  readonly headers: readonly string[];
  readonly serviceName: string | undefined;
  readonly resourceAttributes: string | undefined;
  readonly sampler: { readonly name: string; readonly ratio: number };
  readonly batch: {
    readonly scheduledDelayMillis: number;
    readonly exportTimeoutMillis: number;
    readonly maxQueueSize: number;
    readonly maxExportBatchSize: number;
  };
};

const running = new AsyncLocalStorage<Span>();

/**
 * Runs `work` in a child span; on failure marks the span and rethrows. A plain call when nothing is traced. At the end,
 * `attributes` is called with the result, or with undefined if the work failed.
 */
export function span<R>(name: string, work: () => R, attributes?: AttributesOf<R>): R | Promise<Awaited<R>> {
  const parent = running.getStore();
  return parent?.isRecording ? during(parent.start(name), work, attributes) : work();
}

/** Runs background work as a trace of its own. A plain call without tracing. */
export function traced<T>(tracing: Tracing | undefined, name: string, work: () => Promise<T>): Promise<T> {
  return tracing ? during(tracing.start(name), work) : work();
}

/** Sets attributes of the current span, if there is one. */
export function annotate(attributes: Attributes): void {
  running.getStore()?.set(attributes);
}

/** Records a child span that ends now and took `seconds`. */
export function ended(name: string, { seconds, errorType, ...options }: Ended): void {
  const parent = running.getStore();
  if (!parent?.isRecording) return;
  const part = parent.start(name, { ...options, startedAt: Date.now() - seconds * 1000 });
  if (errorType) part.fail(errorType);
  part.end();
}

type Ended = Omit<SpanOptions, 'startedAt'> & { readonly seconds: number; readonly errorType?: string | undefined };

/**
 * A span for work that is done once for several requests. It is a child of the span of the first request that joined,
 * and the spans of the other requests link to it.
 */
export function sharedSpan(name: string) {
  let joined: Span[] = [];
  return {
    /** Adds the current span to those for which the next `during` does its work. */
    join(): void {
      const one = running.getStore();
      if (one?.isRecording) joined.push(one);
    },
    during<T>(attributes: Attributes, work: () => Promise<T>): Promise<T> {
      const [first, ...others] = joined;
      if (!first) return work();
      joined = [];
      const shared = first.start(name, { attributes });
      for (const other of others) other.link(shared);
      return during(shared, work);
    },
  };
}

/** Makes a span the current one during a call and all asynchronous work that it starts. */
export const within = (span: Span, call: () => void): void => running.run(span, call);

/** The ids of the current span, for a log line. A new object each time, because pino writes into it. */
export function traceIds(): { trace_id?: string; span_id?: string } {
  const ids = running.getStore()?.ids;
  return ids ? { trace_id: ids.traceId, span_id: ids.spanId } : {};
}

type AttributesOf<R> = (result: Awaited<R> | undefined) => Attributes | undefined;

async function during<R>(span: Span, work: () => R, attributes?: AttributesOf<R>): Promise<Awaited<R>> {
  let outcome: Awaited<R> | undefined;
  try {
    outcome = await running.run(span, work);
    return outcome;
  } catch (error) {
    span.fail(typeOf(error));
    throw error;
  } finally {
    span.set(attributes?.(outcome) ?? {});
    span.end();
  }
}

function typeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return ([code, name].find((one) => typeof one === 'string' && /^[\w.-]{1,64}$/.test(one)) as string) ?? '_OTHER';
}
