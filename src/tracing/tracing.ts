/**
 * Traces, as the code sees them: a piece of work is a span of what it is part of, or plain work when nothing is being
 * traced. Nothing of OpenTelemetry is loaded before tracing is opened.
 *
 * What a span tells leaves this machine: never a token, key, cookie, subject, nonce or address.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import type { Logger } from 'pino';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export type SpanOptions = {
  /** A request that came in, one that went out, or (default) work in here. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: Attributes;
  /** Milliseconds since 1970; default: now. */
  readonly startedAt?: number;
};

/** One piece of work that is being traced. */
export interface Span {
  /** False: the sampler left this trace out. */
  readonly isRecording: boolean;
  readonly ids: { readonly traceId: string; readonly spanId: string };
  /** Starts a part of it. */
  start(name: string, options?: SpanOptions): Span;
  set(attributes: Attributes): void;
  /** Points to a span that this one is not part of. */
  link(other: Span): void;
  /** Marks it as failed; the `error.type` is a code or a class, never a message. */
  fail(errorType?: string): void;
  end(): void;
}

/** Where traces begin, and where they are sent from. */
export interface Tracing {
  /** Starts a span that is part of nothing here, but of the caller's when headers have its `traceparent` (W3C Trace Context). */
  start(name: string, options?: SpanOptions & { readonly headers?: IncomingHttpHeaders }): Span;
  /** Sends what is left, as far as that is possible soon. Never throws. */
  close(): Promise<void>;
}

/** Where to send how much; texts are as OpenTelemetry's variables have them. */
export type TracingSettings = {
  readonly url: string;
  /** `name=value,…`; later ones win. Secret. */
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

/** Loads OpenTelemetry and begins to send. */
export async function openTracing(settings: TracingSettings, log: Logger): Promise<Tracing> {
  const { openOpenTelemetry } = await import('./open-telemetry.ts');
  return openOpenTelemetry(settings, log);
}

const running = new AsyncLocalStorage<Span>();

/**
 * Does the work as a part of what is being traced; failing marks the span and throws on. A plain call when nothing is.
 * `attributes` is asked at the end, without an outcome when the work failed.
 */
export function span<R>(name: string, work: () => R, attributes?: Told<R>): R | Promise<Awaited<R>> {
  const parent = running.getStore();
  return parent?.isRecording ? during(parent.start(name), work, attributes) : work();
}

/** Does work of the background as a trace of its own. A plain call without tracing. */
export function traced<T>(tracing: Tracing | undefined, name: string, work: () => Promise<T>): Promise<T> {
  return tracing ? during(tracing.start(name), work) : work();
}

/** Tells something about the work that is going on, if that is traced. */
export function annotate(attributes: Attributes): void {
  running.getStore()?.set(attributes);
}

/** Notes a part that is over already: it took so many seconds until now. */
export function ended(name: string, { seconds, errorType, ...options }: Ended): void {
  const parent = running.getStore();
  if (!parent?.isRecording) return;
  const part = parent.start(name, { ...options, startedAt: Date.now() - seconds * 1000 });
  if (errorType) part.fail(errorType);
  part.end();
}

type Ended = Omit<SpanOptions, 'startedAt'> & { readonly seconds: number; readonly errorType?: string | undefined };

/**
 * Work done once for all who joined since the last time: one span, part of the first one's; those of the others link to
 * it.
 */
export function sharedSpan(name: string) {
  let joined: Span[] = [];
  return {
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

/** Calls with a span as what is going on, also for everything that follows from the call. */
export const within = (span: Span, call: () => void): void => running.run(span, call);

/** What is going on, for a line of the log. A new object each time: pino writes into it. */
export function traceIds(): { trace_id?: string; span_id?: string } {
  const ids = running.getStore()?.ids;
  return ids ? { trace_id: ids.traceId, span_id: ids.spanId } : {};
}

type Told<R> = (outcome: Awaited<R> | undefined) => Attributes | undefined;

async function during<R>(span: Span, work: () => R, attributes?: Told<R>): Promise<Awaited<R>> {
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
