/** `/openapi.json`: what generators of clients need. The harness compares every response of the tests with it. */

import t from 'tap';
import type { Environment } from '../../src/environment.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { settingsIn, settingsOfApps, startReady } from '../harness/service.ts';

type Operation = {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly object[];
  readonly parameters?: readonly { readonly name: string; readonly required?: boolean }[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Record<string, { schema: { properties?: object; required?: string[] } }>;
  };
  readonly responses: Record<string, { readonly description: string; readonly content?: object }>;
};
type Description = { info: object; paths: Record<string, Record<string, Operation>>; components: object };

const everything = { WEBDIST_OAUTH: 'own', WEBDIST_BUTTON_ERRORS: '1' };

async function describe(t: Parameters<typeof startReady>[0], settings: Environment) {
  const { url } = await startReady(t, undefined, settings);
  const description = (await (await fetch(`${url}/openapi.json`)).json()) as Description;
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
  );
  return { url, description, operations, of: (name: string) => operations.find((one) => one.name === name)?.operation };
}

t.test('every operation has a name, a group, its callers, and its refusals', async (t) => {
  const { description, operations } = await describe(t, settingsIn(temporaryFolder(t), everything));
  t.match(description.info, { license: { name: 'MIT', identifier: 'MIT' } });
  t.ok(operations.length > 20);
  t.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
  for (const { name, operation } of operations) {
    t.match(operation, { operationId: /^[\w-]+$/, summary: /./, tags: [/./], security: Array }, name);
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      t.not(description, 'Default Response', `${name} ${status}`);
      const isProblem = /^[45]/.test(status) && !(/ready|startup/.test(name) && status === '503');
      if (isProblem) t.ok(Object.keys(content ?? {}).includes('application/problem+json'), `${name} ${status}`);
    }
    for (const status of ['400', '408', '417', '429', '431', '500'])
      t.ok(operation.responses[status], `${name} ${status}`);
    if (operation.requestBody)
      for (const status of ['413', '415']) t.ok(operation.responses[status], `${name} ${status}`);
  }
});

t.test('callers, by the settings', async (t) => {
  const open = { WEBDIST_OAUTH: 'own' };
  const keys = { WEBDIST_API_KEYS: `server:${'0'.repeat(64)}` };
  const signIn = {
    WEBDIST_AUTH_JWKS_URL: 'https://shop.example.com/jwks',
    WEBDIST_AUTH_ISSUER: 'x',
    WEBDIST_AUTH_AUDIENCE: 'y',
  };
  const [none, apiKey, customer, device] = [{}, { apiKey: [] }, { customer: [] }, { device: [] }];
  for (const [settings, page, ofDevice] of [
    [open, [none, apiKey], [none, device]],
    [{ ...open, ...keys, WEBDIST_ANONYMOUS: 'none' }, [apiKey], [device]],
    [{ ...open, ...signIn }, [apiKey, customer], [device]],
    [{ ...open, WEBDIST_DEVICE_CREDENTIAL: 'required' }, [none, apiKey], [device]],
  ] as const) {
    const { of } = await describe(t, settingsIn(temporaryFolder(t), settings));
    const name = JSON.stringify(settings);
    for (const operation of ['post /install-token', 'get /install-token', 'post /installs'])
      t.strictSame(of(operation)?.security, page, `${operation} ${name}`);
    for (const operation of ['post /marketplace-kit/restore', 'post /marketplace-kit/updates'])
      t.strictSame(of(operation)?.security, ofDevice, `${operation} ${name}`);
    for (const operation of ['post /install-tokens', 'post /oauth/code'])
      t.strictSame(of(operation)?.security, [apiKey], operation);
    for (const operation of ['get /metrics', 'get /livez', 'get /.well-known/jwks.json', 'post /oauth/token'])
      t.strictSame(of(operation)?.security, [], operation);
  }
});

t.test('requests, by the settings: only what this server accepts', async (t) => {
  const bodyOf = (operation: Operation | undefined) => Object.values(operation?.requestBody?.content ?? {})[0]?.schema;
  const own = await describe(t, settingsIn(temporaryFolder(t), { WEBDIST_OAUTH: 'own' }));
  const off = await describe(t, settingsIn(temporaryFolder(t), { WEBDIST_OAUTH: 'off' }));
  const several = await describe(t, settingsOfApps(temporaryFolder(t), 2));
  for (const [{ of }, hasToken, isNamed] of [
    [own, false, false],
    [off, true, false],
    [several, true, true],
  ] as const) {
    const body = bodyOf(of('post /install-token'));
    t.equal('token' in (body?.properties ?? {}), hasToken);
    t.equal(body?.required?.includes('app') ?? false, isNamed);
    const parameters = of('get /install-token')?.parameters ?? [];
    t.equal(
      parameters.some(({ name }) => name === 'token'),
      hasToken,
    );
    t.equal(parameters.find(({ name }) => name === 'app')?.required ?? false, isNamed);
  }
  for (const [{ of }, name, isRequired] of [
    [own, 'post /install-token', false],
    [several, 'post /install-token', true],
    [own, 'post /install-tokens', true],
    [own, 'post /installs', true],
    [own, 'post /marketplace-kit/restore', true],
    [own, 'post /oauth/token', true],
  ] as const)
    t.equal(of(name)?.requestBody?.required, isRequired, name);
  t.match(JSON.stringify(bodyOf(own.of('post /oauth/token'))), /subject_token.*refresh_token.*code_verifier/);
  t.match(JSON.stringify(bodyOf(own.of('post /marketplace-kit/restore'))), /appleItemId/);
});

t.test('an undeclared method is 405 with Allow, whatever its body', async (t) => {
  const { url, operations } = await describe(t, settingsIn(temporaryFolder(t), everything));
  for (const path of new Set(operations.map(({ name }) => name.split(' ')[1] ?? '')))
    for (const [method, body, type] of [
      ['QUERY', undefined, undefined],
      ['PUT', 'x', 'text/plain'],
      ['PATCH', '{', 'application/json'],
      ['PUT', 'x'.repeat(100_000), 'application/json'],
      ['DELETE', undefined, undefined],
    ] as const) {
      const answer = await fetch(url + path, { method, ...(body && { body, headers: { 'content-type': type } }) });
      t.equal(answer.status, 405, `${method} ${path} ${type}`);
      t.match(answer.headers.get('allow'), /^(GET|POST|GET, POST)$/);
    }
});

t.test('a route for servers refuses other callers before it reads the body', async (t) => {
  const { url } = await describe(t, settingsIn(temporaryFolder(t), everything));
  const headers = { origin: 'https://shop.example.com', 'content-type': 'application/json' };
  for (const path of ['/install-tokens', '/oauth/code'])
    for (const body of ['x'.repeat(1_000_000), '{', '[]'])
      t.equal((await fetch(url + path, { method: 'POST', headers, body })).status, 401, `${path} ${body.length}`);
});

t.test('a form of /oauth/… is at most 16 KiB, the apps of a device 64 KiB', async (t) => {
  const { url } = await describe(t, settingsIn(temporaryFolder(t), everything));
  const KIB = 1024;
  const form = (bytes: number) => ['/oauth/token', 'application/x-www-form-urlencoded', `x=${'y'.repeat(bytes - 2)}`];
  const apps = (bytes: number) => [
    '/marketplace-kit/restore',
    'application/json',
    JSON.stringify({ apps: [], x: '' }).padEnd(bytes),
  ];
  for (const [[path = '', type = '', body = ''], expected] of [
    [form(16 * KIB), 400],
    [form(16 * KIB + 1), 413],
    [form(60 * KIB), 413],
    [apps(64 * KIB), 200],
    [apps(64 * KIB + 1), 413],
  ] as const) {
    const answer = await fetch(url + path, { method: 'POST', headers: { 'content-type': type }, body });
    t.equal(answer.status, expected, `${path} ${body.length}`);
  }
});
