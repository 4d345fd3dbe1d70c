/** Traces when something fails or ends: failed work, sampling, a shutdown, a collector that is down, and a service without traces. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readConfig } from '../../../src/config/config.ts';
import { openLog } from '../../../src/log.ts';
import { openTracing } from '../../../src/tracing/open.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { askToken } from '../../harness/http.ts';
import { startProcess } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { openCollector } from '../../harness/stand-ins/otlp-collector.ts';
import { until } from '../../harness/until.ts';
import {
  end,
  issuedLines,
  linesOf,
  sampled,
  spanNamed,
  startTraced,
  TRACE_ID,
  unsampled,
} from '../../tracing/traced.ts';

t.test('failed work has its error code in its span and in the request’s', async (t) => {
  const collector = await openCollector(t);
  const sandbox = await startSandbox(t);
  // The key is not registered.
  const service = await startProcess(t, {
    ...sandbox.settings,
    WEBDIST_DATA_DIR: temporaryFolder(t),
    WEBDIST_REGISTER: 'check',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '20',
  });
  t.equal((await askToken(service.url, {}, sampled)).status, 503);
  const request = await spanNamed(collector, 'POST /install-token', TRACE_ID);
  t.match(request, {
    failed: true,
    attributes: { 'http.response.status_code': 503, 'error.type': 'not_registered' },
  });
  const [line] = await until(
    () => {
      const lines = linesOf(service).filter((one) => one['event'] === 'request_failed');
      return lines.length > 0 && lines;
    },
    'the failure in the log',
    60,
  );
  t.match(line, { trace_id: TRACE_ID, span_id: request.spanId });

  // A path without a route is text that the caller chose.
  await fetch(`${service.url}/nobody-has-this-path?secret=1`, { headers: { traceparent: sampled.traceparent } });
  const lost = await spanNamed(collector, 'GET', TRACE_ID);
  t.strictSame(lost.attributes, {
    'http.request.method': 'GET',
    'url.scheme': 'http',
    'http.response.status_code': 404,
  });
});

t.test('an unsampled trace is not sent, but its id is in the log', async (t) => {
  const collector = await openCollector(t);
  const service = await startTraced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER: 'always_off',
  });
  t.equal((await askToken(service.url, {}, sampled)).status, 200);
  t.match(await issuedLines(service, 1), [{ trace_id: TRACE_ID, span_id: /^[0-9a-f]{16}$/ }]);
  t.equal(await end(service), 0);
  t.strictSame(collector.bodies, []);
});

t.test('the samplers', async (t) => {
  const sandbox = await startSandbox(t);
  const log = openLog('silent');
  for (const [name, share, headers, expected] of [
    ['always_on', '1', unsampled, 1],
    ['always_off', '1', sampled, 0],
    ['traceidratio', '0', sampled, 0],
    ['traceidratio', '1', unsampled, 1],
    ['parentbased_always_on', '1', {}, 1],
    ['parentbased_always_on', '1', unsampled, 0],
    ['parentbased_always_off', '1', {}, 0],
    ['parentbased_always_off', '1', sampled, 1],
    ['parentbased_traceidratio', '0', {}, 0],
    ['parentbased_traceidratio', '1', {}, 1],
    ['parentbased_traceidratio', '0', sampled, 1],
  ] as const) {
    const collector = await openCollector(t);
    const { tracing: settings } = readConfig({
      ...sandbox.settings,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER: name,
      OTEL_TRACES_SAMPLER_ARG: share,
    });
    if (!settings) throw new Error('Tracing is off.');
    const tracing = await openTracing(settings, log);
    const request = tracing.start('request', { headers });
    request.start('part').end();
    request.end();
    await tracing.close();
    t.equal(collector.spans.length, expected * 2, `${name} ${share} ${JSON.stringify(headers)}`);
  }
});

t.test('shutting down sends the remaining spans first', async (t) => {
  const collector = await openCollector(t);
  const service = await startTraced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '3600000',
  });
  t.equal((await askToken(service.url)).status, 200);
  t.strictSame(collector.bodies, []);
  t.equal(await end(service), 0);
  t.ok(collector.spans.some(({ name }) => name === 'POST /install-token'));
});

t.test('a collector that is down, silent or refusing: tokens, one line in the log, an orderly shutdown', async (t) => {
  const tokensWith = async (mood: 'away' | 'hanging' | 'refusing') => {
    const collector = await openCollector(t);
    if (mood !== 'away') collector.mood = mood;
    const service = await startTraced(t, {
      // No server listens on port 1.
      OTEL_EXPORTER_OTLP_ENDPOINT: mood === 'away' ? 'http://127.0.0.1:1' : collector.url,
      OTEL_EXPORTER_OTLP_TIMEOUT: '200',
    });
    const failures = () => linesOf(service).filter((line) => line['event'] === 'traces_not_exported');
    for (let count = 0; count < 5; count++) t.equal((await askToken(service.url)).status, 200, mood);
    await until(() => failures().length > 0, `the failure of a collector that is ${mood}`, 60);
    for (let count = 0; count < 5; count++) t.equal((await askToken(service.url)).status, 200, mood);
    const reasons = { away: 'ECONNREFUSED', hanging: 'no answer', refusing: '400' };
    t.match(failures()[0], { reason: reasons[mood], spans: Number });
    t.equal(await end(service), 0, 'an orderly end');
    t.equal(failures().length, 1, 'one line');
    t.notMatch(service.output(), /secret of the collector/);
  };
  await Promise.all([tokensWith('away'), tokensWith('hanging'), tokensWith('refusing')]);
  // Including a collector that would delay the shutdown for longer than allowed.
  const collector = await openCollector(t);
  collector.mood = 'hanging';
  const service = await startTraced(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  t.equal((await askToken(service.url)).status, 200);
  await until(() => collector.bodies.length > 0, 'spans to be sent', 60);
  t.equal(await end(service), 0);
  t.match(linesOf(service).at(-1), { event: 'shut_down' });
});

t.test('off, nothing of OpenTelemetry’s SDK is loaded; on, it is', async (t) => {
  const seesModules = join(temporaryFolder(t), 'sees-modules.mjs');
  writeFileSync(
    seesModules,
    `import { registerHooks } from 'node:module';
     registerHooks({ load(url, context, next) {
       const name = /@opentelemetry\\/[\\w-]+/.exec(url)?.[0];
       if (name) process.stderr.write('loads ' + name + '\\n');
       return next(url, context);
     } });`,
  );
  const loaded = async (settings: Record<string, string>) => {
    const service = await startTraced(t, { NODE_OPTIONS: `--import=${seesModules}`, ...settings });
    t.equal((await askToken(service.url, {}, sampled)).status, 200);
    const [line] = await issuedLines(service, 1);
    t.equal(await end(service), 0);
    const names = new Set([...service.output().matchAll(/^loads (.+)$/gm)].map(([, name]) => name));
    return { names: [...names].sort(), traceId: line?.['trace_id'] };
  };
  // The metrics library depends on the API, which does nothing without an SDK.
  const off = { names: ['@opentelemetry/api'], traceId: undefined };
  const OTEL_EXPORTER_OTLP_ENDPOINT = 'http://127.0.0.1:1';
  const [unset, none, disabled, on] = await Promise.all([
    loaded({}),
    loaded({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }),
    loaded({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SDK_DISABLED: 'True' }),
    loaded({ OTEL_EXPORTER_OTLP_ENDPOINT }),
  ]);
  for (const one of [unset, none, disabled]) t.strictSame(one, off);
  t.ok(on.names.includes('@opentelemetry/sdk-trace'));
  t.equal(on.traceId, TRACE_ID);
});
