/** Opens tracing. The only place that loads OpenTelemetry, so that it is not loaded while tracing is off. */

import type { Logger } from 'pino';
import type { Tracing, TracingSettings } from './tracing.ts';

/** Loads OpenTelemetry and starts to export spans. */
export async function openTracing(settings: TracingSettings, log: Logger): Promise<Tracing> {
  const { openOpenTelemetry } = await import('./open-telemetry.ts');
  return openOpenTelemetry(settings, log);
}
