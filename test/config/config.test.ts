import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { checkedSettings, configOf, readConfig } from '../../src/config/config.ts';
import { readSettings, withSandbox } from '../../src/config/read.ts';
import { settings } from '../../src/config/settings.ts';
import { MAX_LIFETIME_SECONDS, MIN_LIFETIME_SECONDS } from '../../src/install-token/times.ts';
import { minimal, problemsOf } from './problems-of.ts';

t.test('seven variables are enough', async (t) => {
  const config = readConfig(minimal);
  t.match(config, {
    mode: 'production',
    listen: { host: '127.0.0.1', port: 8080 },
    logLevel: 'info',
    domain: 'example.com',
    apps: [{ bundleId: 'com.example.trailmap', appleItemId: '6500000001', key: ['file:///run/secrets/key.pem'] }],
    tokenLifetimeSeconds: 1200,
    keyScope: 'app',
    register: 'ensure',
    appStoreConnect: {
      baseUrl: 'https://api.appstoreconnect.apple.com',
      keyId: '2X9R4HXF34',
      privateKey: minimal.ASC_PRIVATE_KEY,
    },
    callers: { allowedOrigins: ['https://example.com'], anonymous: 'pages', apiKeys: [] },
    ledger: { whenDown: 'issue', evidence: 'tap', retentionDays: 0 },
    rateLimit: { perVisitor: 60, perAddress: 600 },
    trustProxy: [],
  });
  t.match(config.ledger.url, /^sqlite:\/\/\/.*\.webdist\/ledger\.sqlite$/);
  t.ok(Object.isFrozen(config));
});

t.test('no issuer id means an individual key', async (t) => {
  t.equal(readConfig({ ...minimal, ASC_ISSUER_ID: undefined }).appStoreConnect?.issuerId, undefined);
});

t.test('every wrong value is reported by name, all at once', async (t) => {
  const wrong: Record<string, string> = {
    PORT: '80x',
    LOG_LEVEL: 'loud',
    WEBDIST_DOMAIN: 'https://example.com/',
    WEBDIST_APPLE_ITEM_ID: '18446744073709551616',
    WEBDIST_BUNDLE_ID: 'trail map',
    WEBDIST_KEY: '-----BEGIN PRIVATE KEY-----',
    WEBDIST_PACKAGE_URL: 'http://example.com/adp',
    WEBDIST_APP_SHARE_URL: 'example.com',
    WEBDIST_TOKEN_LIFETIME: '59',
    WEBDIST_KEY_SCOPE: 'team',
    WEBDIST_REGISTER: 'yes',
    WEBDIST_ALLOWED_ORIGINS: 'https://a.example.com/',
    WEBDIST_ANONYMOUS: 'all',
    WEBDIST_API_KEYS: 'shop:secret',
    WEBDIST_AUTH_JWKS_URL: 'ftp://example.com',
    WEBDIST_LEDGER: 'mysql://x',
    WEBDIST_LEDGER_SECRET: 'short',
    WEBDIST_LEDGER_DOWN: 'wait',
    WEBDIST_INSTALL_EVIDENCE: 'guess',
    WEBDIST_COUNTRY_HEADER: 'a b',
    WEBDIST_RATE_LIMIT: '0',
    WEBDIST_RATE_LIMIT_ADDRESS: '-1',
    WEBDIST_LEDGER_RETENTION_DAYS: '1.5',
    WEBDIST_REDIS_URL: 'http://x',
    WEBDIST_TRUST_PROXY: '1',
    ASC_KEY_ID: '?',
    ASC_ISSUER_ID: 'me',
    ASC_BASE_URL: 'http://example.com',
    WEBDIST_TYPO: 'x',
  };
  const problems = problemsOf({ ...minimal, ...wrong });
  for (const name of Object.keys(wrong))
    t.equal(problems.filter((problem) => problem.startsWith(`${name}:`)).length, 1, `${name} is named once`);
  for (const value of Object.values(wrong).filter((text) => text.length > 4))
    t.notOk(
      problems.some((problem) => problem.includes(` ${value} `)),
      'no value is repeated',
    );
});

t.test("the bounds of a token's lifetime", async (t) => {
  for (const seconds of [MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS])
    t.equal(readConfig({ ...minimal, WEBDIST_TOKEN_LIFETIME: `${seconds}` }).tokenLifetimeSeconds, seconds);
  const { about } = settings.WEBDIST_TOKEN_LIFETIME;
  t.match(about, `${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS}`, 'the documentation has the same bounds');
  for (const seconds of [MIN_LIFETIME_SECONDS - 1, MAX_LIFETIME_SECONDS + 1])
    t.strictSame(
      problemsOf({ ...minimal, WEBDIST_TOKEN_LIFETIME: `${seconds}` }),
      [`WEBDIST_TOKEN_LIFETIME: expected a whole number from ${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS}`],
      `${seconds} is refused`,
    );
});

t.test('missing settings are reported with their purpose', async (t) => {
  const names = problemsOf({ WEBDIST_MODE: 'production' }).map((problem) => problem.split(':')[0]);
  t.strictSame(names.sort(), [
    'ASC_KEY_ID',
    'ASC_PRIVATE_KEY',
    'WEBDIST_APPLE_ITEM_ID',
    'WEBDIST_BUNDLE_ID',
    'WEBDIST_DOMAIN',
    'WEBDIST_KEY',
  ]);
});

t.test('contradictory combinations', async (t) => {
  t.match(problemsOf({ ...minimal, ASC_PRIVATE_KEY_B64: btoa('-----BEGIN PRIVATE KEY-----') }), [
    /^ASC_PRIVATE_KEY: set only one of ASC_PRIVATE_KEY, ASC_PRIVATE_KEY_B64/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_LEDGER_READ: 'postgres://db/x' }), [
    /^WEBDIST_LEDGER_READ: needs WEBDIST_LEDGER=postgres/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_LEDGER_READ: 'sqlite:///x' }), [/^WEBDIST_LEDGER_READ: expected postgres/]);
  t.match(problemsOf({ ...minimal, WEBDIST_LEDGER: 'postgres://db/x' }), [
    /^WEBDIST_LEDGER_SECRET: is required with PostgreSQL/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_DOCTOR_PUBLIC: 'https://example.com/camping' }), [
    /^WEBDIST_DOCTOR_PUBLIC: needs WEBDIST_DOCTOR_MINUTES/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_COUNTRY_HEADER: 'cf-ipcountry' }), [
    /^WEBDIST_COUNTRY_HEADER: needs WEBDIST_TRUST_PROXY/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_TRUST_PROXY: 'true' }), [
    /^WEBDIST_TRUST_PROXY: .*choose their own address/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_AUTH_ISSUER: 'https://id.example.com' }), [
    /^WEBDIST_AUTH_JWKS_URL/,
    /^WEBDIST_AUTH_AUDIENCE/,
  ]);
  t.match(problemsOf({ ...minimal, WEBDIST_KEY: 'env://A env://A' }), [/^WEBDIST_KEY: the same locator/]);
  const digest = 'a'.repeat(64);
  t.match(problemsOf({ ...minimal, WEBDIST_API_KEYS: `a:${digest},a:${digest}` }), [
    /^WEBDIST_API_KEYS: two API keys have the same name/,
  ]);
  for (const rest of [':0', ':x', ':1:', ':1:2027', '::2027-02-30', ':1:2027-01-01:x', '::2027-13-01'])
    t.match(problemsOf({ ...minimal, WEBDIST_API_KEYS: `a:${digest}${rest}` }), [/^WEBDIST_API_KEYS: /], rest);
  const keys = [`a:${digest}`, `b:${digest}:60`, `c:${digest}:60:2027-12-31`, `d:${digest}::2028-02-29`].join();
  t.strictSame(
    readConfig({ ...minimal, WEBDIST_API_KEYS: keys }).callers.apiKeys.map((key) => [
      key.tokensPerMinute,
      key.expiresAtMs,
    ]),
    [
      [undefined, undefined],
      [60, undefined],
      [60, Date.UTC(2028, 0, 1)],
      [undefined, Date.UTC(2028, 2, 1)],
    ],
  );
});

t.test('NAME_FILE reads the value from a file', async (t) => {
  const dir = t.testdir({ domain: 'shop.example.com\n' });
  const { WEBDIST_DOMAIN: _, ...rest } = minimal;
  t.equal(readConfig({ ...rest, WEBDIST_DOMAIN_FILE: join(dir, 'domain') }).domain, 'shop.example.com');
  t.match(problemsOf({ ...minimal, WEBDIST_DOMAIN_FILE: join(dir, 'domain') }), [
    /^WEBDIST_DOMAIN: set WEBDIST_DOMAIN or WEBDIST_DOMAIN_FILE, not both/,
  ]);
  t.match(problemsOf({ ...minimal, PORT_FILE: join(dir, 'nothing') }), [
    /^PORT_FILE: the file cannot be read \(ENOENT\)/,
  ]);
});

t.test('locators that are separated by commas', async (t) => {
  for (const key of [
    'file:///a.pem,file:///b.pem',
    'awskms:///alias/a,env://B',
    'file:///a.pem, pkcs11:object=b,pkcs11:object=c',
  ])
    t.match(problemsOf({ ...minimal, WEBDIST_KEY: key })[0], /^WEBDIST_KEY: separate several locators with spaces/);
  t.strictSame(problemsOf({ ...minimal, WEBDIST_KEY: 'file:///a,b.pem' }), [], 'a comma in a path');
});

t.test('a problem names the variable that gave the setting', async (t) => {
  const wrong = join(t.testdir({ wrong: 'not a valid value\n' }), 'wrong');
  const { ASC_PRIVATE_KEY: _, ...withoutApiKey } = minimal;
  for (const name of [
    'WEBDIST_DOMAIN',
    'WEBDIST_APPLE_ITEM_ID',
    'WEBDIST_KEY_SCOPE',
    'WEBDIST_LEDGER',
    'WEBDIST_LEDGER_SECRET',
    'WEBDIST_REDIS_URL',
    'WEBDIST_LICENSE_DYNAMIC_URL',
    'WEBDIST_API_KEYS',
    'WEBDIST_AUDIT',
    'ASC_KEY_ID',
  ]) {
    const given = { ...minimal, [name]: undefined, [`${name}_FILE`]: wrong };
    const problems = problemsOf(given);
    t.ok(problems.length > 0 && problems.every((line) => line.startsWith(`${name}_FILE: `)), problems.join());
    t.ok(checkedSettings(readSettings(given)).problems.every(({ variable }) => variable === `${name}_FILE`));
  }
  t.match(problemsOf({ ...minimal, WEBDIST_COUNTRY_HEADER_FILE: wrong }), [/^WEBDIST_COUNTRY_HEADER_FILE: /]);
  t.match(problemsOf({ ...withoutApiKey, ASC_PRIVATE_KEY_PATH: '/a.p8', ASC_PRIVATE_KEY_B64_FILE: wrong }), [
    /^ASC_PRIVATE_KEY_PATH: set only one of ASC_PRIVATE_KEY_PATH, ASC_PRIVATE_KEY_B64_FILE$/,
  ]);
  const app = join(t.testdir({ apps: 'file:///none.pem' }), 'apps');
  const { WEBDIST_KEY: __, ...withoutKey } = minimal;
  t.equal(readConfig(minimal).apps[0]?.keyVariable, 'WEBDIST_KEY');
  t.equal(readConfig({ ...withoutKey, WEBDIST_KEY_FILE: app }).apps[0]?.keyVariable, 'WEBDIST_KEY_FILE');
});

t.test('a file named by _FILE may hold the PEM itself, and the API key can be given in every way', async (t) => {
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  }) as string;
  const path = join(t.testdir(), 'key.txt');
  writeFileSync(path, pem);
  const { WEBDIST_KEY: _, ASC_PRIVATE_KEY: __, ...rest } = minimal;
  const url = `file://${path}`;
  const key = { ASC_PRIVATE_KEY: minimal.ASC_PRIVATE_KEY };
  t.strictSame(readConfig({ ...rest, ...key, WEBDIST_KEY_FILE: path }).apps[0]?.key, [url]);
  const apiKey = (given: Record<string, string>) =>
    readConfig({ ...rest, WEBDIST_KEY: minimal.WEBDIST_KEY, ...given }).appStoreConnect?.privateKey;
  t.equal(apiKey({ ASC_PRIVATE_KEY: pem }), 'env://ASC_PRIVATE_KEY', 'the PEM stays in the environment');
  t.equal(apiKey({ ASC_PRIVATE_KEY: 'awskms:///alias/asc' }), 'awskms:///alias/asc');
  t.equal(apiKey({ ASC_PRIVATE_KEY_PATH: path }), url);
  t.equal(apiKey({ ASC_PRIVATE_KEY_FILE: path }), url);
  t.equal(apiKey({ ASC_PRIVATE_KEY_B64_FILE: path }), url);
  t.equal(apiKey({ ASC_PRIVATE_KEY_B64: Buffer.from(pem).toString('base64') }), 'env://ASC_PRIVATE_KEY_B64');
});

t.test('an API key that is neither a locator nor a key is reported with the other settings', async (t) => {
  const { ASC_PRIVATE_KEY: _, ...rest } = minimal;
  const pem = '-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----';
  for (const name of ['ASC_PRIVATE_KEY', 'ASC_PRIVATE_KEY_B64'] as const) {
    for (const value of [
      '/run/secrets/AuthKey_A.p8',
      'AuthKey_A.p8',
      'file:/a.p8',
      'ftp://a/b',
      'short',
      '!'.repeat(80),
    ])
      t.match(
        problemsOf({ ...rest, [name]: value, PORT: 'x' }),
        [/^PORT: /, new RegExp(`^${name}: expected a locator, .+ use ASC_PRIVATE_KEY_PATH$`)],
        `${name}=${value}`,
      );
    for (const value of [
      pem,
      pem.replaceAll('\n', '\\n'),
      `"${pem}"`,
      btoa(pem),
      `'${btoa(pem)}'`,
      '{"kty":"EC"}',
      'env://X',
    ])
      t.strictSame(problemsOf({ ...rest, [name]: value }), [], `${name}=${value}`);
    t.match(problemsOf({ ...rest, [name]: '"env://X"' }), [new RegExp(`^${name}: there are quotes around the value`)]);
  }
});

t.test('the file of WEBDIST_CONFIG', async (t) => {
  const { ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY } = minimal;
  const asc = { ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY };
  const dir = t.testdir({
    'two.yaml': `
domain: example.com
apps:
  - bundleId: com.example.camping
    appleItemId: "6473805491"
    key: file:///run/secrets/camping.pem
    packageUrl: https://example.com/adp/camping
    appShareUrl: https://example.com/camping
  - bundleId: com.example.hiking
    appleItemId: 18446744073709551615
    key: env://HIKING env://HIKING_NEXT
`,
    'one.json': '{"apps":[{"bundleId":"com.example.camping","appleItemId":"6473805491","key":"env://CAMPING"}]}',
    'wrong.yaml': `
domain: http://example.com
apps:
  - bundleId: com.example.camping
    appleItemId: "6473805491"
    key: somewhere
    colour: red
  - bundleId: com.example.camping
`,
    'twins.yaml': `
domain: example.com
apps:
  - { bundleId: com.example.a, appleItemId: "1", key: env://A }
  - { bundleId: com.example.a, appleItemId: "1", key: env://A }
`,
    'broken.yaml': 'domain: [',
  });
  const file = (name: string) => ({ ...asc, WEBDIST_CONFIG: join(dir, name) });
  const two = readConfig(file('two.yaml'));
  t.equal(two.domain, 'example.com');
  t.strictSame(
    two.apps.map((app) => app.appleItemId),
    ['6473805491', '18446744073709551615'],
    'an unquoted id loses nothing',
  );
  t.strictSame(two.apps[1]?.key, ['env://HIKING', 'env://HIKING_NEXT']);
  t.equal(readConfig({ ...file('one.json'), WEBDIST_DOMAIN: 'example.com' }).apps.length, 1);
  t.match(problemsOf(file('one.json')), [/^WEBDIST_DOMAIN: is required/]);
  t.match(problemsOf({ ...file('two.yaml'), WEBDIST_KEY: 'env://A' }), [/^WEBDIST_KEY: must be set in the file/]);
  const wrong = problemsOf(file('wrong.yaml'))
    .filter((problem) => problem.startsWith('WEBDIST_CONFIG'))
    .join('\n');
  for (const place of [
    'domain:',
    'apps[0].key[0]:',
    'apps[0]: Unrecognized key: "colour"',
    'apps[1].appleItemId:',
    'apps[1].key:',
  ])
    t.match(wrong, `WEBDIST_CONFIG: ${place}`);
  t.match(problemsOf(file('twins.yaml')), [/two apps have the same bundleId/, /two apps have the same appleItemId/]);
  t.match(problemsOf(file('broken.yaml')).join(), /WEBDIST_CONFIG: the file is not YAML or JSON, see line 1/);
  t.match(problemsOf(file('nothing.yaml')).join(), /WEBDIST_CONFIG: the file cannot be read \(ENOENT\)/);
});

t.test('with registration off, no API key is needed', async (t) => {
  const { ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY, ...rest } = minimal;
  t.equal(readConfig({ ...rest, WEBDIST_REGISTER: 'off', WEBDIST_KEY_ID: 'abc' }).appStoreConnect, undefined);
});

t.test(
  'the mode: production when an app is named, sandbox otherwise, and an explicit value always applies',
  async (t) => {
    const domainFile = join(t.testdir({ domain: 'example.com', empty: '\n' }), 'domain');
    const production = { NODE_ENV: 'production' };
    for (const [mode, env] of [
      ['sandbox', {}],
      ['sandbox', { PORT: '1', LOG_LEVEL: 'warn' }],
      [
        'sandbox',
        { WEBDIST_RATE_LIMIT: '5', WEBDIST_DATA_DIR: '/tmp/x', WEBDIST_ALLOWED_ORIGINS: 'https://a.example.com' },
      ],
      ['sandbox', { ASC_KEY_ID: 'X', ASC_ISSUER_ID: minimal.ASC_ISSUER_ID, ASC_PRIVATE_KEY: 'env://X' }],
      ['sandbox', { WEBDIST_DOMAIN: '', WEBDIST_KEY: '  ' }],
      ['sandbox', { WEBDIST_DOMAIN_FILE: domainFile.replace(/domain$/, 'empty') }],
      ['sandbox', { NODE_ENV: 'development' }],
      ['production', { WEBDIST_CONFIG: '/etc/webdist.yaml' }],
      ['production', { WEBDIST_DOMAIN: 'example.com' }],
      ['production', { WEBDIST_DOMAIN_FILE: domainFile }],
      ['production', { WEBDIST_APPLE_ITEM_ID: '1' }],
      ['production', { WEBDIST_BUNDLE_ID: 'com.example.a' }],
      ['production', { WEBDIST_BUNDLE_ID: 'malformed' }],
      ['production', { WEBDIST_KEY: 'env://X' }],
      ['production', production],
      ['sandbox', { ...production, WEBDIST_MODE: 'sandbox' }],
      ['sandbox', { ...minimal, WEBDIST_MODE: 'sandbox' }],
      ['sandbox', { ...minimal, WEBDIST_MODE: ' sandbox\r\n' }],
      ['production', { WEBDIST_MODE: 'production' }],
    ] as const)
      t.equal(readSettings(env).mode, mode, JSON.stringify(env));
    t.equal(readConfig({ ...minimal, WEBDIST_MODE: 'sandbox' }).callers.anonymous, 'any');
    const messageOf = (env: Record<string, string>) => {
      try {
        readConfig(env);
        return '';
      } catch (error) {
        return (error as Error).message.split('\n', 1)[0];
      }
    };
    for (const more of [{}, { PORT: '80', HOST: '0.0.0.0', WEBDIST_DATA_DIR: '/data' }, { LOG_LEVEL: 'warn' }])
      t.match(
        messageOf({ ...production, ...more }),
        /^No app is configured\. For the demo, set WEBDIST_MODE=sandbox: /,
      );
    for (const [count, more] of [
      [6, { WEBDIST_MODE: 'production' }],
      [7, { PORT: 'x' }],
      [5, { WEBDIST_DOMAIN: 'example.com' }],
    ] as const)
      t.match(
        messageOf({ ...production, ...more }),
        `${count} settings are wrong (for a demo that needs no settings, set WEBDIST_MODE=sandbox):`,
      );
    t.equal(messageOf({ ...minimal, WEBDIST_MODE: 'sandbox', PORT: 'x' }), 'One setting is wrong:');
  },
);

t.test('derived values use what was read: WEBDIST_ANONYMOUS_FILE applies in sandbox mode', async (t) => {
  const WEBDIST_ANONYMOUS_FILE = join(t.testdir({ anonymous: 'none\r\n' }), 'anonymous');
  const anonymous = (env: Record<string, string>) => readConfig({ ...minimal, ...env }).callers.anonymous;
  for (const WEBDIST_MODE of ['production', 'sandbox']) {
    t.equal(anonymous({ WEBDIST_MODE, WEBDIST_ANONYMOUS_FILE }), 'none');
    t.equal(anonymous({ WEBDIST_MODE, WEBDIST_ANONYMOUS: ' pages ' }), 'pages');
    t.equal(anonymous({ WEBDIST_MODE, WEBDIST_ANONYMOUS: ' ' }), WEBDIST_MODE === 'sandbox' ? 'any' : 'pages');
  }
});

t.test("the operator's settings override the sandbox's, however they were given", async (t) => {
  const dir = t.testdir({ domain: 'shop.example.com\n', limit: '5' });
  const sandbox = {
    ...minimal,
    ASC_BASE_URL: 'http://127.0.0.1:1',
    WEBDIST_PACKAGE_URL: 'https://shop.example.com/adp',
  };
  const own = {
    WEBDIST_DOMAIN_FILE: join(dir, 'domain'),
    WEBDIST_RATE_LIMIT_FILE: join(dir, 'limit'),
    WEBDIST_ALLOWED_ORIGINS: 'https://a.example.com',
    ASC_KEY_ID: 'OTHERTOOL',
    ASC_PRIVATE_KEY_B64: btoa('-----BEGIN PRIVATE KEY-----'),
    WEBDIST_MODE: 'sandbox',
  };
  const config = configOf(withSandbox(readSettings(own), sandbox));
  t.match(config, {
    mode: 'sandbox',
    domain: 'shop.example.com',
    apps: [{ bundleId: minimal.WEBDIST_BUNDLE_ID, packageUrl: 'https://shop.example.com/adp' }],
    rateLimit: { perVisitor: 5 },
    callers: { anonymous: 'any', allowedOrigins: ['https://shop.example.com', 'https://a.example.com'] },
    appStoreConnect: { keyId: minimal.ASC_KEY_ID, privateKey: minimal.ASC_PRIVATE_KEY, baseUrl: sandbox.ASC_BASE_URL },
  });
  t.strictSame(
    config.warnings.map(({ variable }) => variable),
    ['ASC_KEY_ID', 'ASC_PRIVATE_KEY_B64'],
  );
  t.match(config.warnings[0]?.message, /^ignored in sandbox mode/);
  t.throws(() => configOf(withSandbox(readSettings({ ...own, PORT: 'x' }), sandbox)), { message: /PORT: expected/ });
  const configFile = withSandbox(readSettings({ WEBDIST_MODE: 'sandbox', WEBDIST_CONFIG: '/none.yaml' }), sandbox);
  t.match(
    configOf(configFile).warnings,
    [{ variable: 'WEBDIST_CONFIG' }],
    'the demo runs where a service is configured',
  );
});

t.test('any environment gives a Config or a list of problems that shows no value', async (t) => {
  const secret = randomBytes(24).toString('hex');
  const name = fc.constantFrom(...Object.keys(settings));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.oneof(fc.string(), fc.constant(`x${secret}`), fc.webUrl(), fc.integer().map(String))),
        (env) => {
          const problems = problemsOf({ ...minimal, ...env });
          return !problems.join().includes(secret);
        },
      ),
      { numRuns: 300 },
    ),
  );
});

t.test('a package URL has its host written out, as devices read it', async (t) => {
  const problems = (url: string) => problemsOf({ ...minimal, WEBDIST_PACKAGE_URL: url });
  for (const url of [
    'https:///example.com/adp',
    'https:/example.com/adp',
    'https:example.com/adp',
    'https:\\\\example.com\\adp',
    'https://example.com\\adp',
    'https://example.com/a\\b',
    'https://exam ple.com/adp',
    'https://example.com/a b',
    'https://user@example.com/adp',
    'https://get%2Eexample.com/adp',
    'https://example.com:/adp',
    'https://münchen.example.com/adp',
    'https://..example.com/adp',
    'https://example..com/adp',
    'https://-get.example.com/adp',
    'https://example.com/adp#',
    'https://example.com/adp#x',
    'https://example.com:65536/adp',
    'https://example.com/ü',
    'https://example.com/100%',
    'https://example.com/%zz',
    'https://example.com/a[1]',
    '//example.com/adp',
    'https://',
  ])
    t.match(problems(url), [/WEBDIST_PACKAGE_URL: .*expected an absolute https URL/], url);
  for (const url of ['https://example.com', 'HTTPS://EXAMPLE.com/adp', 'https://get.example.com/adp/1/?v=1'])
    t.strictSame(problems(url), [], url);
});

t.test('a package URL is passed on in one spelling', async (t) => {
  const table = {
    'https://example.com': 'https://example.com/',
    'HTTPS://Get.EXAMPLE.com/Adp': 'https://get.example.com/Adp',
    'https://example.com:443/adp': 'https://example.com/adp',
    'https://example.com/a/../adp': 'https://example.com/adp',
    'https://example.com/a/%2E%2e/./adp': 'https://example.com/adp',
    'https://example.com/adp/%7Ecamping%20app/': 'https://example.com/adp/%7Ecamping%20app/',
  };
  for (const [given, url] of Object.entries(table)) {
    const { apps } = readConfig({ ...minimal, WEBDIST_PACKAGE_URL: given, WEBDIST_APP_SHARE_URL: given });
    t.match(apps, [{ packageUrl: url, appShareUrl: url }], given);
  }
});

t.test('a package URL from which no device installs is reported at startup', async (t) => {
  const warnings = (url: string) =>
    readConfig({ ...minimal, WEBDIST_PACKAGE_URL: url }).packageUrlWarnings.map(
      ({ variable, message }) => `${variable} ${message}`,
    );
  const table: [string, RegExp[]][] = [
    ['https://example.com/adp', []],
    ['https://get.example.com/adp/', []],
    ['https://example.com:443/adp', []],
    ['https://example.com/adp?v=1', [/WEBDIST_PACKAGE_URL has a query/]],
    ['https://example.com/adp?', [/has a query/]],
    ['https://example.com/manifest.json/../adp', []],
    ['https://example.com:8443/adp', [/has a port/]],
    ['https://cdn.example.net/adp', [/a different host/]],
    ['https://notexample.com/adp', [/a different host/]],
    ['https://example.com/adp/manifest.json', [/leave out \/manifest\.json/]],
    ['https://example.com/adp/Manifest.json', [/leave out \/Manifest\.json/]],
    ['https://example.com/adp/manifest.json/', [/leave out \/manifest\.json/]],
    ['https://example.com/adp/signature', [/leave out \/signature/]],
    [
      'https://example.com/adp/alternative-distribution-package.zip',
      [/leave out \/alternative-distribution-package\.zip/],
    ],
    ['https://example.com/adp/camping.ipa', [/leave out \/camping\.ipa/]],
    ['https://example.com/manifest.json/v1', []],
    ['https://cdn.example.net:1/manifest.json?x', [/query/, /port/, /a different host/, /manifest/]],
  ];
  for (const [url, expected] of table) {
    const found = warnings(url);
    t.equal(found.length, expected.length, url);
    t.match(found, expected, url);
  }
});
