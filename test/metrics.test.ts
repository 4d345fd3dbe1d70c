/**
 * Metrics and alerts: names that Prometheus accepts, a table that matches the code, the condition of every alert caused in a
 * real service, and the rules tested by promtool where it is installed (Debian: prometheus).
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { type Signer, signingKey } from '../src/jws.ts';
import { openMetrics } from '../src/metrics.ts';
import { timedKeys } from '../src/service/timed-signer.ts';
import { control } from './harness/apple-client.ts';
import { temporaryFolder } from './harness/folder.ts';
import { askToken } from './harness/http.ts';
import { setFault, startSandbox } from './harness/sandbox.ts';
import { startReady, startService } from './harness/service.ts';
import { until } from './harness/until.ts';

const RULES = 'docker/prometheus/alerts.yaml';
const skip = spawnSync('promtool', ['--version']).error ? 'promtool is not installed' : false;

type Rule = { alert: string; expr: string; annotations: { runbook_url: string } };
const rules = (parse(readFileSync(RULES, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (one) => one.rules,
);

/** The value of a series in the response of `/metrics`, by the start of its line. */
async function readSeries(url: string, series: string): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(series));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1));
}

const comesTo = (url: string, series: string, wanted: (value: number) => boolean) =>
  until(async () => {
    const value = await readSeries(url, series);
    return value !== undefined && wanted(value);
  }, series);

t.test('docs/metrics.md matches the code (WEBDIST_WRITE_DOCS=1 writes it)', async (t) => {
  const metrics = openMetrics().registry.getMetricsAsArray() as unknown as {
    name: string;
    help: string;
    type: string;
    labelNames: string[];
  }[];
  const rows = metrics
    .map(({ name, help, type, labelNames }) => [
      `\`${name}\``,
      type,
      labelNames.map((one) => `\`${one}\``).join(' '),
      help,
    ])
    .sort(([a = ''], [b = '']) => a.localeCompare(b))
    .map((cells) => `| ${cells.join(' | ')} |`);
  const text = [
    '# Metrics',
    '',
    '`GET /metrics` returns Prometheus text. This page is generated from `src/metrics.ts` by `test/metrics.test.ts`; the alerts are',
    'in [alerts.md](alerts.md). Labels never hold anything that a caller chooses. The proxy must not expose this path to visitors.',
    '',
    '| metric | type | labels | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
  if (process.env['WEBDIST_WRITE_DOCS']) writeFileSync('docs/metrics.md', text);
  t.equal(readFileSync('docs/metrics.md', 'utf8'), text);
});

t.test('every alert uses existing metrics and has a runbook', async (t) => {
  const { registry } = openMetrics();
  const known = new Set(registry.getMetricsAsArray().map(({ name }) => name));
  const runbooks = readFileSync('docs/alerts.md', 'utf8');
  for (const { alert, expr, annotations } of rules) {
    for (const [name] of expr.matchAll(/webdist_\w+/g))
      t.ok(known.has(name.replace(/_bucket$/, '')), `${alert}: ${name} exists`);
    t.match(runbooks, new RegExp(`^## ${alert}$`, 'm'), `${alert}: has a runbook`);
    t.equal(annotations.runbook_url, `docs/alerts.md#${alert.toLowerCase()}`);
  }
  const board = readFileSync('docker/grafana/dashboards/webdist.json', 'utf8');
  for (const [name] of board.matchAll(/webdist_\w+/g))
    t.ok(known.has(name.replace(/_(bucket|count|sum)$/, '')), `dashboard: ${name} exists`);
});

t.test('promtool: the rules, and when each alert fires', { skip }, async (t) => {
  t.match(execFileSync('promtool', ['check', 'rules', RULES], { encoding: 'utf8' }), /SUCCESS: \d+ rules/);
  const tested = readFileSync('docker/prometheus/alerts.test.yaml', 'utf8');
  for (const { alert } of rules)
    for (const what of ['fires', 'stays silent']) t.ok(tested.includes(`name: ${alert} ${what}\n`), `${alert} ${what}`);
  const ran = spawnSync('promtool', ['test', 'rules', 'docker/prometheus/alerts.test.yaml'], { encoding: 'utf8' });
  t.equal(ran.status, 0, ran.stdout + ran.stderr);
});

t.test('a healthy service: promtool accepts its metrics', async (t) => {
  const { url } = await startReady(t, await startSandbox(t));
  await askToken(url);
  await comesTo(url, 'webdist_registration_confirmed_timestamp_seconds{', (value) => value > 1e9);
  t.equal(await readSeries(url, 'webdist_key_registered{app="com.example.trailmap"}'), 1);
  t.ok(((await readSeries(url, 'webdist_key_seen_timestamp_seconds{')) ?? 0) > 1e9);
  t.equal(await readSeries(url, 'webdist_dependency_up{dependency="ledger"}'), 1);
  t.equal(await readSeries(url, 'webdist_sign_duration_seconds_count{signer="file"}'), 1);
  t.ok(
    ((await readSeries(url, 'webdist_http_request_duration_seconds_count{route="/install-token",status="200"}')) ?? 0) >
      0,
  );
  t.ok(((await readSeries(url, 'webdist_app_store_connect_rate_limit_remaining_requests')) ?? 0) > 3000);
  t.equal(await readSeries(url, 'webdist_build_info{'), 1);
  t.equal(await readSeries(url, 'webdist_registration_problem{'), undefined);
  await fetch(`${url}/${'x'.repeat(50)}`);
  t.notMatch(await (await fetch(`${url}/metrics`)).text(), /xxxx/, 'no label is a visitor’s');
  if (skip) return t.comment(skip);
  const input = await (await fetch(`${url}/metrics`)).text();
  const ran = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
  t.equal(ran.status, 0, ran.stdout + ran.stderr);
});

t.test('WebdistNotSigning, WebdistRegistrationProblem, WebdistTokensFailing: Apple refuses the API key', async (t) => {
  const sandbox = await startSandbox(t);
  await setFault(sandbox, { status: 403 });
  const { url } = await startService(t, sandbox);
  t.ok(
    await comesTo(url, 'webdist_registration_problem{app="com.example.trailmap",code="asc_', (value) => value === 1),
  );
  t.equal(await readSeries(url, 'webdist_key_registered{'), 0);
  t.equal((await askToken(url)).status, 503);
  t.equal(
    await readSeries(
      url,
      'webdist_install_tokens_total{app="com.example.trailmap",dtype="none",result="not_registered",source="none"}',
    ),
    1,
  );
});

t.test('WebdistKeyUnreadable: a held key is damaged, then readable again', async (t) => {
  const path = join(temporaryFolder(t), 'key.pem');
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' });
  writeFileSync(path, pem);
  const { url, service, log } = await startReady(t, await startSandbox(t), { WEBDIST_KEY: `file://${path}` });
  const series = 'webdist_key_problem{app="com.example.trailmap",backend="file",code="key_invalid"}';
  t.equal(await readSeries(url, series), undefined);
  writeFileSync(path, 'garbage');
  await service.reconcile();
  t.equal(await readSeries(url, series), 1);
  t.equal((await askToken(url)).status, 200, 'the key as last read still signs');
  t.match(log.text(), /"event":"key_unreadable".*but a restart would fail/);
  writeFileSync(path, pem);
  await service.reconcile();
  t.equal(await readSeries(url, series), undefined);
  t.match(log.text(), /"event":"key_readable"/);
});

t.test('WebdistAppStoreConnectFailing, -Limit, WebdistClockOff', async (t) => {
  const sandbox = await startSandbox(t);
  await setFault(sandbox, { clockSkewSeconds: 45 });
  const { url } = await startService(t, sandbox);
  t.ok(await comesTo(url, 'webdist_clock_offset_seconds', (value) => value > 30));
  const limit = await readSeries(url, 'webdist_app_store_connect_rate_limit_requests');
  t.ok(await comesTo(url, 'webdist_app_store_connect_rate_limit_remaining_requests', (left) => left < (limit ?? 0)));

  const silent = await startSandbox(t);
  await setFault(silent, { drop: true });
  const deaf = await startService(t, silent);
  t.ok(
    await comesTo(
      deaf.url,
      'webdist_app_store_connect_requests_total{method="GET",status="none"}',
      (value) => value > 0,
    ),
  );
});

t.test('WebdistPackageNewer', async (t) => {
  const sandbox = await startSandbox(t);
  const { url, service, log } = await startReady(t, sandbox);
  const series = 'webdist_package_newer{app="com.example.trailmap"}';
  t.ok(await comesTo(url, series, (value) => value === 0), 'the served version is the newest');
  await control(sandbox, 'POST', 'packages', { isMade: false });
  await service.reconcile();
  await service.reconcile();
  t.equal(await readSeries(url, series), 1, 'approved, but not served yet');
  t.equal(log.text().match(/"event":"package_newer".*"served":"1.3.0","newest":"1.4.0"/g)?.length, 1, 'logged once');
  await setFault(sandbox, { path: '/v1/apps/6500000001/appStoreVersions', status: 503 });
  await service.reconcile();
  t.equal(await readSeries(url, series), 1, 'the last value stays');
});

t.test('WebdistDependencyDown: no PostgreSQL, no Redis', async (t) => {
  const sandbox = await startSandbox(t);
  // Without PostgreSQL, nothing is registered for the first time: whether it was removed before cannot be read.
  await (await startReady(t, sandbox)).stop();
  const { url } = await startReady(t, sandbox, {
    WEBDIST_LEDGER: 'postgres://nobody@127.0.0.1:1/none',
    WEBDIST_LEDGER_SECRET: 'only-for-this-test-only-for-this-test',
    WEBDIST_REDIS_URL: 'redis://127.0.0.1:1',
  });
  const first = await askToken(url);
  await askToken(url, {}, { cookie: first.headers.getSetCookie()[0]?.split(';')[0] ?? '' });
  for (const name of ['ledger', 'redis']) {
    t.equal(await readSeries(url, `webdist_dependency_up{dependency="${name}"}`), 0);
    t.ok(((await readSeries(url, `webdist_${name}_failures_total`)) ?? 0) > 0, name);
    t.ok(((await readSeries(url, `webdist_dependency_duration_seconds_count{dependency="${name}"}`)) ?? 0) > 0);
  }
});

t.test('WebdistSigningFails, WebdistSigningSlow', async (t) => {
  const metrics = openMetrics();
  const slow: Signer = {
    backend: 'awskms',
    publicKey: {} as Signer['publicKey'],
    sign: async () => {
      await new Promise((done) => setTimeout(done, 20));
      throw new Error('denied');
    },
    close: async () => undefined,
  };
  await t.rejects(
    Promise.resolve(timedKeys(metrics)(signingKey(slow, 'key id')).signer.sign(Buffer.from('x'))),
    /denied/,
  );
  const text = await metrics.registry.metrics();
  t.match(text, 'webdist_sign_failures_total{signer="awskms"} 1');
  t.match(text, /webdist_sign_duration_seconds_bucket\{le="0.01",signer="awskms"\} 0\n/);
  t.match(text, 'webdist_sign_duration_seconds_count{signer="awskms"} 1');
});

t.test('WebdistManyRefused, WebdistEventLoopLag', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), { WEBDIST_RATE_LIMIT: '1' });
  const cookie = (await askToken(url)).headers.getSetCookie().join();
  await askToken(url, {}, { cookie });
  t.equal((await askToken(url, {}, { cookie })).status, 429);
  t.equal(await readSeries(url, 'webdist_rate_limited_total{limit="visitor"}'), 1);
  // A scrape resets the measurement.
  await readSeries(url, 'webdist_nodejs_eventloop_lag_p99_seconds');
  for (let n = 0; n < 4; n++) {
    const end = performance.now() + 300;
    while (performance.now() < end);
    await new Promise((done) => setTimeout(done, 1));
  }
  t.ok(((await readSeries(url, 'webdist_nodejs_eventloop_lag_p99_seconds')) ?? 0) > 0.2);
});

t.test('WebdistAuditFailing: the disk is full', async (t) => {
  const path = join(temporaryFolder(t), 'audit.jsonl');
  symlinkSync('/dev/full', path);
  const { url, stop } = await startReady(t, await startSandbox(t), { WEBDIST_AUDIT: path });
  t.equal((await askToken(url)).status, 200, 'tokens are still issued');
  t.ok(await comesTo(url, 'webdist_audit_failures_total', (value) => value > 0));
  await t.rejects(stop(), { code: 'state_invalid' }, 'closing reports what is missing');
});
