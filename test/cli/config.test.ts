/** `webdist config check` and `config print`: every problem, every value with its source, and no secret. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Effective } from '../../src/config/effective.ts';
import { minimal } from '../config/problems-of.ts';
import { webdist, webdistJson } from '../harness/process.ts';

type Printed = { mode: string; settings: Effective[]; domain: string; apps: { bundleId: string; key: string[] }[] };

t.test('check: the exit code, the problems and the warnings', async (t) => {
  t.strictSame(await webdist(['config', 'check'], minimal), {
    code: 0,
    stdout: 'The settings are valid, for production mode.\n',
    stderr: '',
  });
  t.match(await webdist(['config', 'check'], {}), { code: 0, stdout: /for sandbox mode/, stderr: '' });

  const wrong = { ...minimal, WEBDIST_DOMAIN: 'https://example.com', WEBDIST_TOKEN_LIFETIME: '9', WEBDIST_WRONG: 'x' };
  t.match(await webdist(['config', 'check'], wrong), {
    code: 1,
    stdout: '',
    stderr:
      /^webdist: 3 settings are wrong:\n {2}WEBDIST_DOMAIN: .+\n {2}WEBDIST_TOKEN_LIFETIME: .+\n {2}WEBDIST_WRONG: .+\n$/,
  });
  const json = await webdist(['config', 'check', '--json'], { ...wrong, OTEL_TRACES_SAMPLER: 'own' });
  t.equal(json.code, 1);
  t.match(JSON.parse(json.stdout), {
    ok: false,
    mode: 'production',
    problems: ['WEBDIST_DOMAIN', 'WEBDIST_TOKEN_LIFETIME', 'WEBDIST_WRONG'].map((variable) => ({ variable })),
    warnings: [{ variable: 'OTEL_TRACES_SAMPLER', message: /^ignored/ }],
  });
  t.match(await webdist(['config', 'check'], { WEBDIST_WRONG: 'x' }), { code: 1 }, 'also in sandbox mode');
});

t.test('print: values and their sources', async (t) => {
  const folder = t.testdir({ 'domain.txt': 'example.com\n' });
  const { WEBDIST_DOMAIN: _, ...others } = minimal;
  const env = { ...others, WEBDIST_DOMAIN_FILE: join(folder, 'domain.txt'), WEBDIST_RATE_LIMIT: '7' };
  const { mode, settings, domain } = await webdistJson<Printed>(['config', 'print'], env);
  const of = (name: string) => {
    const { value, source } = settings.find((setting) => setting.name === name) ?? {};
    return [value, source];
  };
  t.strictSame([mode, domain], ['production', 'example.com']);
  t.strictSame(of('WEBDIST_DOMAIN'), ['example.com', 'WEBDIST_DOMAIN_FILE']);
  t.strictSame(of('WEBDIST_RATE_LIMIT'), ['7', 'WEBDIST_RATE_LIMIT']);
  t.strictSame(of('WEBDIST_RATE_LIMIT_ADDRESS'), ['600', 'default']);
  t.strictSame(of('WEBDIST_REDIS_URL'), [null, 'not set']);
  t.match(of('WEBDIST_LEDGER'), [/^sqlite:\/\/\/.+ledger\.sqlite$/, 'default'], 'a default that depends on others');
  t.strictSame(of('WEBDIST_PUBLIC_URL'), ['https://example.com', 'default']);

  const file = join(folder, 'apps.yaml');
  writeFileSync(
    file,
    'domain: shop.example.com\napps:\n  - { bundleId: com.example.a, appleItemId: "1", key: "env://A" }\n',
  );
  const { ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY } = minimal;
  const fromFile = await webdistJson<Printed>(['config', 'print'], {
    ...{ ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY },
    WEBDIST_CONFIG: file,
  });
  t.match(fromFile, { domain: 'shop.example.com', apps: [{ bundleId: 'com.example.a', key: ['env://A'] }] });
  t.match(
    fromFile.settings.find(({ name }) => name === 'WEBDIST_DOMAIN'),
    { source: 'WEBDIST_CONFIG' },
  );
  const sandbox = await webdist(['config', 'print'], {});
  t.match(sandbox, { code: 0, stdout: /WEBDIST_ANONYMOUS +any +default/ });
  t.match(await webdist(['config', 'print'], { WEBDIST_DOMAIN: 'x' }), {
    code: 1,
    stdout: /WEBDIST_RATE_LIMIT +60 +default/,
    stderr: /WEBDIST_DOMAIN: expected a bare domain/,
  });
});

t.test('no command prints a secret, whatever its form', async (t) => {
  const secret = 'Canary-0123456789-0123456789-0123456789';
  const given: Readonly<Record<string, string>> = {
    WEBDIST_LEDGER_SECRET: secret,
    WEBDIST_LEDGER: `postgres://webdist:${secret}@db/webdist`,
    WEBDIST_LEDGER_READ: `postgres://webdist@replica/webdist?password=${secret}`,
    WEBDIST_REDIS_URL: `rediss://:${secret}@redis:6380`,
    WEBDIST_API_KEYS: `shop:${'c0ffee00'.repeat(8)}`,
    WEBDIST_KEY: `pkcs11:token=webdist;object=key?pin-value=${secret}`,
    ASC_PRIVATE_KEY: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}`,
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: `authorization=${secret}`,
  };
  for (const args of [['check'], ['check', '--json'], ['print'], ['print', '--json']]) {
    const { code, stdout, stderr } = await webdist(['config', ...args], { ...minimal, ...given });
    t.equal(code, 0, args.join(' '));
    t.notMatch(stdout + stderr, /Canary|c0ffee/, args.join(' '));
  }
  const unknown = { ...minimal, WEBDIST_LEDGER: `postgres://db/webdist?sslpassword=${secret}` };
  const refused = await webdist(['config', 'check'], unknown);
  t.equal(refused.code, 1);
  t.notMatch(refused.stdout + refused.stderr, /Canary/);
  const { ASC_PRIVATE_KEY: _, ...others } = { ...minimal, ...given };
  const inBase64 = await webdist(['config', 'print'], { ...others, ASC_PRIVATE_KEY_B64: btoa(secret) });
  t.notOk(inBase64.stdout.includes(btoa(secret)));
  t.match(inBase64.stdout, /ASC_PRIVATE_KEY_B64 +\*\*\* +ASC_PRIVATE_KEY_B64/);
});
