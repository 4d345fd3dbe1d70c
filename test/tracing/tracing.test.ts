/** Traces as an operator gets them: real processes, with a collector that reads OTLP. */

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import t from 'tap';
import { readConfig } from '../../src/config/config.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { listen } from '../harness/port.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { openCollector } from '../harness/stand-ins/otlp-collector.ts';
import { until } from '../harness/until.ts';
import { API_KEY, end, issuedLines, PARENT_ID, sampled, spanNamed, startTraced, TRACE_ID } from './traced.ts';

t.test(
  'one request: spans for the caller, the ledger and the signature, in the caller’s trace and in the log',
  async (t) => {
    const collector = await openCollector(t);
    const service = await startTraced(t, {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-team=a%20team,x-both=general',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-both=traces',
      OTEL_SERVICE_NAME: 'camping-tokens',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=other',
    });
    // The ledger is read only for devices that come back.
    const first = await askToken(service.url, {}, { traceparent: `00-${'1'.repeat(32)}-${PARENT_ID}-00` });
    const cookie = first.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const answer = await askToken(service.url, {}, { ...sampled, cookie });
    t.equal(answer.status, 200);
    const { keyId } = (await answer.json()) as { keyId: string };

    const request = await spanNamed(collector, 'POST /install-token', TRACE_ID);
    t.match(request, { traceId: TRACE_ID, parentSpanId: PARENT_ID, kind: 2, failed: false });
    t.strictSame(request.attributes, {
      'http.request.method': 'POST',
      'url.scheme': 'http',
      'http.route': '/install-token',
      'url.path': '/install-token',
      'http.response.status_code': 200,
    });
    t.match(request.resource, {
      'service.name': 'camping-tokens',
      'service.version': /^\d/,
      'deployment.environment.name': 'test',
      'telemetry.sdk.language': 'nodejs',
    });
    const [authorize, decide, read, sign] = await Promise.all(
      ['authorize', 'ledger decide', 'ledger read', 'sign'].map((name) => spanNamed(collector, name, TRACE_ID)),
    );
    t.match(authorize, { parentSpanId: request.spanId, kind: 1, attributes: { 'webdist.caller': 'anonymous' } });
    t.match(decide, { parentSpanId: request.spanId, kind: 1, attributes: { 'webdist.dtype': 'download' } });
    t.match(read, { parentSpanId: decide?.spanId, kind: 1, attributes: { 'webdist.tokens': 1 } });
    t.match(sign, { parentSpanId: request.spanId, kind: 1 });
    t.strictSame(sign?.attributes, { 'webdist.signer': 'file', 'webdist.key_id': keyId });
    t.ok(request.nanoseconds >= (sign?.nanoseconds ?? 0n));

    const [, line] = await issuedLines(service, 2);
    t.match(line, { trace_id: TRACE_ID, span_id: request.spanId });
    const sent = collector.requests[0];
    t.equal(sent?.path, '/v1/traces');
    t.match(sent?.headers, { 'content-type': 'application/x-protobuf', 'x-team': 'a team', 'x-both': 'traces' });
  },
);

t.test('kinds of callers: a server, a signed-in customer, one with a wrong key', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] });
  const identityProvider = createServer((_request, response) => response.end(jwks));
  const port = await listen(identityProvider);
  t.teardown(() => identityProvider.close());
  const collector = await openCollector(t);
  const service = await startTraced(t, {
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/at/another/path`,
    WEBDIST_AUTH_JWKS_URL: `http://127.0.0.1:${port}/`,
    WEBDIST_AUTH_ISSUER: 'https://login.example.com/',
    WEBDIST_AUTH_AUDIENCE: 'shop',
  });
  const jwt = await new SignJWT({ iss: 'https://login.example.com/', aud: 'shop', sub: 'customer' })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .setExpirationTime('5m')
    .sign(privateKey);
  const callerWith = async (credential: string, traceId: string) => {
    const traceparent = `00-${traceId}-${PARENT_ID}-01`;
    await (await askToken(service.url, {}, { authorization: `Bearer ${credential}`, traceparent })).text();
    return spanNamed(collector, 'authorize', traceId);
  };
  t.match(await callerWith(API_KEY, '1'.repeat(32)), { attributes: { 'webdist.caller': 'api_key' }, failed: false });
  t.match(await callerWith(jwt, '2'.repeat(32)), { attributes: { 'webdist.caller': 'jwt' }, failed: false });
  const refused = await callerWith('wrong', '3'.repeat(32));
  t.strictSame(refused.attributes, { 'error.type': 'unauthorized' });
  t.equal(refused.failed, true);
  const request = await spanNamed(collector, 'POST /install-token', '3'.repeat(32));
  t.match(request, { attributes: { 'http.response.status_code': 401 }, failed: false });
  t.equal(collector.requests[0]?.path, '/at/another/path');
});

t.test('requests of one tick share one read: a child of one of them, linked from the others', async (t) => {
  const collector = await openCollector(t);
  const service = await startTraced(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const requests = Array.from({ length: 20 }, (_, index) => ({ subject: `device ${index}` }));
  const answer = await fetch(`${service.url}/install-tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}`, ...sampled },
    body: JSON.stringify({ requests }),
  });
  t.equal(answer.status, 200);
  const request = await spanNamed(collector, 'POST /install-tokens', TRACE_ID);
  const all = (name: string) => collector.spans.filter((span) => span.name === name && span.traceId === TRACE_ID);
  await until(() => all('ledger decide').length === 20 && all('sign').length === 20, 'the spans of every token', 60);
  const reads = all('ledger read');
  t.equal(
    reads.reduce((sum, { attributes }) => sum + Number(attributes['webdist.tokens']), 0),
    20,
  );
  t.ok(reads.length < 20, `${reads.length} reads for 20 tokens`);
  for (const decide of all('ledger decide')) {
    t.equal(decide.parentSpanId, request.spanId);
    const reached = reads.filter(({ spanId, parentSpanId }) =>
      [parentSpanId === decide.spanId, decide.links.includes(spanId)].includes(true),
    );
    t.equal(reached.length, 1, 'each leads to the one read it was in');
  }
});

t.test('App Store Connect: a trace for each check, requests without their queries', async (t) => {
  const collector = await openCollector(t);
  await startTraced(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const check = await spanNamed(collector, 'registration check');
  t.match(check, { parentSpanId: '', kind: 1 });
  const parts = collector.spans.filter((span) => span.parentSpanId === check.spanId);
  t.ok(parts.some((span) => span.name === 'GET') && parts.some((span) => span.name === 'POST'));
  for (const part of parts) {
    t.match(part, { kind: 3, attributes: { 'peer.service': 'app-store-connect', 'server.address': '127.0.0.1' } });
    t.match(part.attributes['url.full'], /^http:\/\/127\.0\.0\.1:\d+\/v1\/[\w/.-]+$/);
    t.type(part.attributes['http.response.status_code'], 'number');
  }
  const created = parts.filter(({ attributes }) => attributes['http.response.status_code'] === 201);
  t.ok(created.length > 0 && created.every(({ failed }) => !failed));
});

t.test('spans hold no secret and no address; health and metrics are not traced', async (t) => {
  const collector = await openCollector(t);
  const service = await startTraced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20for-the-collector',
    WEBDIST_ANONYMOUS: 'any',
    WEBDIST_LICENSE_RESOLUTION_URL: 'https://example.com/licences',
    WEBDIST_PACKAGE_URL: 'https://example.com/adp',
    LOG_LEVEL: 'debug',
  });
  const secrets: string[] = [API_KEY, 'for-the-collector', 'Bearer'];
  const note = async (answer: Response) => {
    const body = (await answer.json()) as { token?: string; nonce?: string; installUrl?: string };
    t.equal(answer.status, 200);
    const [header = '', payload = '', signature = ''] = body.token?.split('.') ?? [];
    const cookie = /webdist_device=([^;]+)/.exec(answer.headers.get('set-cookie') ?? '')?.[1];
    const subjectToken = new URL(body.installUrl ?? 'x:').searchParams.get('token');
    secrets.push(header, payload, signature, body.nonce ?? '');
    for (const secret of [cookie, subjectToken]) if (secret) secrets.push(secret, secret.split('.')[0] ?? '');
    return { cookie: cookie ?? '', subjectToken };
  };
  const page = { account: 'the-account-of-somebody' };
  const withToken = { ...page, token: 'the-subject-token-of-a-page' };
  secrets.push(...Object.values(withToken));
  t.equal((await askToken(service.url, withToken)).status, 400, "refused with webdist's own OAuth");
  const { cookie } = await note(await askToken(service.url, page, { 'user-agent': 'a-browser-of-somebody' }));
  t.ok(cookie);
  await note(await askToken(service.url, {}, { cookie: `webdist_device=${cookie}` }));
  const { subjectToken } = await note(await fetch(`${service.url}/install-token?account=another-account`));
  t.ok(subjectToken, 'a token for the device');
  const server = { authorization: `Bearer ${API_KEY}` };
  await note(await askToken(service.url, { subject: 'the-subject-of-somebody' }, server));
  secrets.push('a-browser-of-somebody', 'another-account', 'the-subject-of-somebody');
  const lines = await issuedLines(service, 4);
  secrets.push(...lines.flatMap((line) => (typeof line['subject'] === 'string' ? [line['subject']] : [])));
  const exchange = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: subjectToken ?? '',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  });
  const exchanged = await fetch(`${service.url}/oauth/token`, { method: 'POST', body: exchange });
  const { access_token: accessToken = '' } = (await exchanged.json()) as { access_token?: string };
  t.ok(accessToken, 'an access token');
  const restored = await fetch(`${service.url}/marketplace-kit/restore`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
    body: JSON.stringify({ apps: [{ appleItemId: '6500000001', appleVersionId: '1' }] }),
  });
  const restore = await restored.text();
  t.equal(restored.status, 200);
  secrets.push(accessToken, ...(restore.match(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g) ?? []));
  for (const path of ['/health/live', '/health/ready', '/livez', '/readyz', '/startupz', '/metrics'])
    await fetch(`${service.url}${path}`);
  t.equal(await end(service), 0);

  t.match(await spanNamed(collector, 'POST /marketplace-kit/restore'), { kind: 2 });
  t.match(
    collector.spans.filter(({ name }) => name === 'authorize').map(({ attributes }) => attributes['webdist.caller']),
    ['anonymous', 'anonymous', 'anonymous', 'anonymous', 'api_key', 'access_token'],
  );
  t.equal(collector.requests[0]?.headers.authorization, 'Bearer for-the-collector');
  const exported = collector.bodies.join('');
  t.ok(exported.includes('ledger decide') && secrets.length > 20);
  const found = secrets.filter((secret) => secret && exported.includes(secret));
  t.strictSame(found, [], 'no secret in any exported byte');
  for (const word of ['PRIVATE KEY', 'webdist_device', 'Bearer', '/health', '/livez', '/readyz', '/metrics'])
    t.notOk(exported.includes(word), word);
  t.notMatch(service.output(), /for-the-collector/);
});

t.test('the settings', async (t) => {
  const sandbox = await startSandbox(t);
  const read = (settings: Record<string, string>) => readConfig({ ...sandbox.settings, ...settings }).tracing;
  t.equal(read({}), undefined);
  t.equal(read({ OTEL_SERVICE_NAME: 'webdist', OTEL_TRACES_SAMPLER: 'always_on' }), undefined);
  t.match(read({ OTEL_TRACES_EXPORTER: 'otlp' }), {
    url: 'http://localhost:4318/v1/traces',
    sampler: { name: 'parentbased_always_on', ratio: 1 },
    batch: { scheduledDelayMillis: 5000, exportTimeoutMillis: 30_000, maxQueueSize: 2048, maxExportBatchSize: 512 },
  });
  t.match(read({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://example.com/otlp' })?.url, 'https://example.com/otlp/v1/traces');
  const headersFile = join(temporaryFolder(t), 'headers');
  writeFileSync(headersFile, 'authorization=secret\n');
  const fromFile = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_HEADERS_FILE: headersFile };
  t.strictSame(read(fromFile)?.headers, ['authorization=secret']);
});
