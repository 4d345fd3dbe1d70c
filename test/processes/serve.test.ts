/** The service as an operator runs it: real processes, real signals, kill -9. */

import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { runWebdist, startProcess } from '../harness/process.ts';
import { endFaults, requestsSeen, setFault, startSandbox } from '../harness/sandbox.ts';
import { isReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const generous = { WEBDIST_RATE_LIMIT: '1000000', WEBDIST_RATE_LIMIT_ADDRESS: '1000000' };

t.test('a restart creates nothing; killed between POST and response, it finds what was created', async (t) => {
  const sandbox = await startSandbox(t);
  const env = { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) };
  await setFault(sandbox, {
    method: 'POST',
    path: '/v1/alternativeDistributionKeys',
    latencyMs: 60_000,
    drop: 'after',
  });
  const first = await startProcess(t, env);
  await until(
    async () => (await requestsSeen(sandbox)).some((seen) => seen.includes('exists') || seen.includes('Keys')),
    'the look',
  );
  await until(
    async () => /asc|alternativeDistribution/.test(first.output()) || (await requestsSeen(sandbox)).length >= 3,
    'the POST to be under way',
  );
  first.child.kill('SIGKILL');
  await first.exited;
  await endFaults(sandbox);

  const second = await startProcess(t, env);
  await isReady(second.url);
  const { keyId } = (await (await askToken(second.url)).json()) as { keyId: string };
  // A process is ready before it has registered the domain.
  await until(
    async () => (await requestsSeen(sandbox, 'POST')).includes('POST /v1/alternativeDistributionDomains'),
    'the domain to be registered',
  );
  second.child.kill('SIGKILL');
  await second.exited;
  await fetch(`${sandbox.baseUrl}/_sandbox/requests`, { method: 'DELETE' });
  const third = await startProcess(t, env);
  await isReady(third.url);
  t.match(await (await askToken(third.url)).json(), { keyId });
  await until(
    async () => (await requestsSeen(sandbox)).some((seen) => seen.includes('Domains')),
    'the look at the domain',
  );
  t.strictSame(await requestsSeen(sandbox, 'POST'), [], 'a restart makes no POST');
});

t.test('the response of the POST is lost: the service finds what was created', async (t) => {
  const sandbox = await startSandbox(t);
  await setFault(sandbox, { method: 'POST', drop: 'after', times: 2 });
  const service = await startProcess(t, { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) });
  await until(
    async () => (await (await fetch(`${service.url}/readyz`)).text()).includes('"domain":{"state":"ok"}'),
    'the domain',
  );
  await isReady(service.url);
  const seen = await requestsSeen(sandbox, 'POST');
  t.strictSame(
    seen,
    ['POST /v1/alternativeDistributionKeys', 'POST /v1/alternativeDistributionDomains'],
    'one POST each',
  );
});

t.test('SIGTERM under load: no request fails, exit 0 within 10 s', async (t) => {
  const sandbox = await startSandbox(t);
  const service = await startProcess(t, {
    ...sandbox.settings,
    ...generous,
    LOG_LEVEL: 'info',
    WEBDIST_DRAIN_SECONDS: '1',
    WEBDIST_DATA_DIR: temporaryFolder(t),
  });
  await isReady(service.url);
  const ask = () =>
    new Promise<{ status?: number | undefined; error?: NodeJS.ErrnoException }>((resolve) => {
      const asked = request(
        `${service.url}/install-token?app=6500000001`,
        { headers: { origin: 'https://example.com' } },
        (answer) => {
          answer.resume();
          answer.on('end', () => resolve({ status: answer.statusCode }));
          answer.on('error', (error) => resolve({ error }));
        },
      );
      asked.on('error', (error) => resolve({ error }));
      asked.end();
    });
  let gone = false;
  const outcomes: Awaited<ReturnType<typeof ask>>[] = [];
  const visitor = async () => {
    while (!gone) {
      const outcome = await ask();
      // The server reports "not ready" for seconds before it stops listening, so by then no load balancer would use it.
      if (outcome.error?.code === 'ECONNREFUSED') gone = true;
      else outcomes.push(outcome);
    }
  };
  const load = Promise.all(Array.from({ length: 20 }, visitor));
  await until(() => outcomes.length > 50, 'some load');
  const started = Date.now();
  service.child.kill('SIGTERM');
  await until(
    async () => (await fetch(`${service.url}/health/ready`)).status === 503,
    'unready while it still answers',
  );
  t.equal(await service.exited, 0, 'exit code');
  t.ok(Date.now() - started < 10_000, 'within 10 s');
  gone = true;
  await load;
  const failed = outcomes.filter((outcome) => outcome.status !== 200);
  t.strictSame(failed, [], `none of ${outcomes.length} requests failed`);
  t.ok(service.output().includes('"event":"shut_down"'));
});

t.test('SIGHUP starts a check at once', async (t) => {
  const sandbox = await startSandbox(t);
  const service = await startProcess(t, { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) });
  await isReady(service.url);
  await until(
    async () => (await requestsSeen(sandbox)).some((seen) => seen.startsWith('POST') && seen.includes('Domains')),
    'the first look to end',
  );
  await fetch(`${sandbox.baseUrl}/_sandbox/requests`, { method: 'DELETE' });
  service.child.kill('SIGHUP');
  t.ok(await until(async () => (await requestsSeen(sandbox)).length > 0, 'another look'));
});

t.test('wrong settings: one message, exit 1, nothing secret', async (t) => {
  const secret = 'sk-very-secret-value-0123456789';
  const { exited, output } = runWebdist(t, ['serve'], {
    WEBDIST_DOMAIN: 'http://x',
    PORT: 'x',
    ASC_PRIVATE_KEY: secret,
    WEBDIST_LEDGER_SECRET: 'short',
    WEBDIST_NOPE: secret,
  });
  t.equal(await exited, 1);
  for (const name of [
    'WEBDIST_DOMAIN',
    'PORT',
    'WEBDIST_LEDGER_SECRET',
    'WEBDIST_NOPE',
    'WEBDIST_APPLE_ITEM_ID',
    'WEBDIST_BUNDLE_ID',
    'WEBDIST_KEY',
    'ASC_KEY_ID',
  ])
    t.match(output(), new RegExp(`^  ${name}: .+$`, 'm'));
  t.notMatch(output(), secret);
  t.notMatch(output(), /at .*\.ts:\d+/, 'no stack');
});

t.test('a port in use is reported in one line', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  const { exited, output } = runWebdist(t, ['serve'], {
    WEBDIST_MODE: 'sandbox',
    PORT: String(port),
    WEBDIST_DATA_DIR: temporaryFolder(t),
  });
  t.equal(await exited, 1);
  t.match(output(), /^webdist: PORT: cannot listen on 127\.0\.0\.1 port \d+ \(EADDRINUSE\)/m);
});

t.test('log, page and health report sandbox mode; production without settings explains it', async (t) => {
  const service = await startProcess(t, { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: temporaryFolder(t) });
  await isReady(service.url);
  t.match(service.output(), /SANDBOX MODE/);
  t.match(await (await fetch(service.url)).text(), /SANDBOX/);
  t.match(await (await fetch(`${service.url}/health/ready`)).json(), { mode: 'sandbox' });
  const token = await fetch(`${service.url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  t.equal(token.status, 200, 'anybody may try');
  const { exited, output } = runWebdist(t, ['serve'], { NODE_ENV: 'production' });
  t.equal(await exited, 1);
  t.match(output(), /^webdist: No app is configured\. For the demo, .+\n {2}For production, .+\n$/);
});

t.test('the demo of the image: an explicit mode applies, and another tool’s API key does not break it', async (t) => {
  const service = await startProcess(t, {
    WEBDIST_MODE: 'sandbox',
    NODE_ENV: 'production',
    ASC_KEY_ID: 'OTHERTOOL',
    ASC_PRIVATE_KEY_PATH: '/none.p8',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    WEBDIST_DATA_DIR: temporaryFolder(t),
  });
  await isReady(service.url);
  for (const variable of ['ASC_KEY_ID', 'ASC_PRIVATE_KEY_PATH', 'OTEL_EXPORTER_OTLP_PROTOCOL'])
    t.match(service.output(), `"event":"setting_ignored","variable":"${variable}"`);
});

t.test('no secret is ever written, not even with faults', async (t) => {
  const sandbox = await startSandbox(t);
  const dataDir = temporaryFolder(t);
  const apiKey = 'server-key-that-must-not-leak';
  const env = {
    ...sandbox.settings,
    ...generous,
    WEBDIST_DATA_DIR: dataDir,
    LOG_LEVEL: 'trace',
    WEBDIST_REGISTER_INTERVAL: '5',
    // With webdist's own OAuth a page may not set `token`.
    WEBDIST_OAUTH: 'off',
  };
  const service = await startProcess(t, env);
  await isReady(service.url);
  const seen: string[] = [];
  const secrets: string[] = [apiKey];
  for (const fault of [
    { status: 401 },
    { status: 403 },
    { status: 500 },
    { status: 200, html: true },
    { drop: true },
    undefined,
  ]) {
    if (fault) await setFault(sandbox, fault);
    service.child.kill('SIGHUP');
    const granted = await askToken(service.url, { account: 'account-of-somebody', token: 'subject-token-of-somebody' });
    secrets.push(((await granted.json()) as { token: string }).token.split('.')[2] ?? '');
    secrets.push(/webdist_device=([^;.]+)/.exec(granted.headers.get('set-cookie') ?? '')?.[1] ?? '');
    for (const answer of [
      await askToken(service.url, {}, { authorization: `Bearer ${apiKey}` }),
      await askToken(service.url, { account: '\u0000secret-account' }),
      await fetch(`${service.url}/metrics`),
      await fetch(`${service.url}/health/ready`),
      await fetch(`${service.url}/openapi.json`),
    ])
      seen.push(await answer.text());
  }
  await until(
    async () => (service.output().match(/"event":"registration_problem"/g) ?? []).length >= 2,
    'problems in the log',
    60,
  );
  service.child.kill('SIGTERM');
  await service.exited;
  const body = (pem: string) => pem.replace(/-----[^-]+-----/g, '').replace(/\s/g, '');
  const distributionKey = readFileSync(new URL(sandbox.settings['WEBDIST_KEY'] ?? ''), 'utf8');
  secrets.push(
    body(distributionKey).slice(20, 80),
    body(Buffer.from(sandbox.settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString()).slice(20, 80),
  );
  secrets.push(
    readFileSync(join(dataDir, 'ledger-secret'), 'utf8').trim(),
    'account-of-somebody',
    'subject-token-of-somebody',
    'secret-account',
  );
  const written = service.output() + seen.join('\n');
  t.ok(written.length > 5000, 'there is something to look through');
  for (const secret of secrets) {
    t.ok(secret.length > 8, 'a secret to look for');
    t.notOk(written.includes(secret), `${secret.slice(0, 4)}… is not written`);
  }
  t.notMatch(service.output(), /eyJ[\w-]+\.eyJ/, 'no token in the log');
  t.notMatch(service.output(), /BEGIN [A-Z ]*PRIVATE KEY/, 'no private key in the log');
  t.equal((service.output().match(/"event":"install_token_issued"/g) ?? []).length, 6, 'one line for each token');
  const remembered = readdirSync(dataDir)
    .filter((name) => name.startsWith('registration'))
    .map((name) => readFileSync(join(dataDir, name), 'utf8'))
    .join();
  t.notMatch(remembered, /PRIVATE/);
});
