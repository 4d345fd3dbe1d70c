/** A service that sends traces, and what is read of it. */

import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { type Process, startProcess } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { isReady } from '../harness/service.ts';
import type { openCollector, ReceivedSpan } from '../harness/stand-ins/otlp-collector.ts';
import { until } from '../harness/until.ts';

/** The key of a server that asks for tokens, and the trace of a caller. */
export const API_KEY = 'a-key-of-the-shop-that-nobody-else-may-see';
export const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
export const PARENT_ID = '00f067aa0ba902b7';
export const sampled = { traceparent: `00-${TRACE_ID}-${PARENT_ID}-01` };
export const unsampled = { traceparent: `00-${TRACE_ID}-${PARENT_ID}-00` };

/** A ready service whose spans are sent at once. */
export async function startTraced(t: Test, settings: Record<string, string>): Promise<Process> {
  const sandbox = await startSandbox(t);
  const service = await startProcess(t, {
    ...sandbox.settings,
    WEBDIST_DATA_DIR: temporaryFolder(t),
    WEBDIST_API_KEYS: `shop:${createHash('sha256').update(API_KEY).digest('hex')}`,
    OTEL_BSP_SCHEDULE_DELAY: '20',
    ...settings,
  });
  await isReady(service.url);
  return service;
}

export type Collector = Awaited<ReturnType<typeof openCollector>>;

/** The span with that name, of one trace or of any, once it has arrived. */
export const spanNamed = ({ spans }: Collector, name: string, traceId?: string): Promise<ReceivedSpan> =>
  until(
    () => spans.find((span) => span.name === name && (traceId === undefined || span.traceId === traceId)),
    () => `a span "${name}", only: ${spans.map((span) => span.name).join(', ')}`,
    60,
  );

export const linesOf = (service: Process) =>
  service
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

export const issuedLines = (service: Process, count: number) =>
  until(
    () => {
      const lines = linesOf(service).filter((line) => line['event'] === 'install_token_issued');
      return lines.length >= count && lines;
    },
    `${count} tokens in the log`,
    60,
  );

export async function end(service: Process): Promise<number | null> {
  service.child.kill('SIGINT');
  return service.exited;
}
