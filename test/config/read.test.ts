/** Reading an environment, as tables of kinds: ways to give a value, foreign variables, URLs, white space. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { only, readConfig } from '../../src/config/config.ts';
import { readSettings } from '../../src/config/read.ts';
import type { SettingName } from '../../src/config/settings.ts';
import { minimal, problemsOf } from './problems-of.ts';

/** For every setting, a value that is not its default. */
const samples: Readonly<Record<SettingName, string>> = {
  HOST: '::',
  PORT: '8081',
  WEBDIST_OPERATOR_PORT: '8082',
  WEBDIST_OPERATOR_HOST: '127.0.0.2',
  WEBDIST_DOCS: 'off',
  WEBDIST_COOKIE_PREFIX: 'host',
  LOG_LEVEL: 'warn',
  WEBDIST_START_JITTER_SECONDS: '30',
  WEBDIST_DRAIN_SECONDS: '5',
  WEBDIST_MODE: 'sandbox',
  WEBDIST_CONFIG: '/etc/webdist.yaml',
  WEBDIST_DOMAIN: 'shop.example.com',
  WEBDIST_APPLE_ITEM_ID: '6500000002',
  WEBDIST_BUNDLE_ID: 'com.example.other',
  WEBDIST_KEY: 'env://OTHER awskms:///alias/other',
  WEBDIST_KEY_ID: 'abc',
  WEBDIST_PACKAGE_URL: 'https://example.com/adp/other',
  WEBDIST_PACKAGE_MANIFEST: 'file:///srv/manifest.json',
  WEBDIST_APP_SHARE_URL: 'https://example.com/other',
  WEBDIST_TOKEN_LIFETIME: '600',
  WEBDIST_KEY_SCOPE: 'account',
  WEBDIST_REGISTER: 'check',
  WEBDIST_REGISTER_INTERVAL: '60',
  WEBDIST_ALLOWED_ORIGINS: 'https://a.example.com,https://b.example.com',
  WEBDIST_ANONYMOUS: 'none',
  WEBDIST_CHALLENGE: 'turnstile',
  WEBDIST_CHALLENGE_SECRET: 'the secret of the site',
  WEBDIST_API_KEYS: `shop:${'a'.repeat(64)}`,
  WEBDIST_AUTH_JWKS_URL: 'https://id.example.com/jwks',
  WEBDIST_AUTH_ISSUER: 'https://id.example.com/',
  WEBDIST_AUTH_AUDIENCE: 'shop',
  WEBDIST_AUTH_AUDIENCE_CLAIM: 'client_id',
  WEBDIST_LEDGER: 'postgres://shop@db/x',
  WEBDIST_LEDGER_READ: 'postgres://shop@replica/x',
  PGPASSWORD: 'hunter2',
  WEBDIST_LEDGER_SECRET: 'x'.repeat(40),
  WEBDIST_LEDGER_DOWN: 'refuse',
  WEBDIST_BUTTON_ERRORS: '0.25',
  WEBDIST_INSTALL_EVIDENCE: 'issue',
  WEBDIST_LEDGER_RETENTION_DAYS: '30',
  WEBDIST_COUNTRY_HEADER: 'cf-ipcountry',
  WEBDIST_RATE_LIMIT: '61',
  WEBDIST_RATE_LIMIT_ADDRESS: '601',
  WEBDIST_RATE_LIMIT_APP: '1',
  WEBDIST_RATE_LIMIT_TOTAL: '1',
  WEBDIST_REDIS_URL: 'rediss://shop:p%40ss@redis:6380/1',
  WEBDIST_TRUST_PROXY: '10.0.0.0/8 ::1',
  WEBDIST_LICENSE_DYNAMIC_URL: 'https://example.com/1',
  WEBDIST_LICENSE_RENEWAL_URL: 'https://example.com/2',
  WEBDIST_LICENSE_RESOLUTION_URL: 'https://example.com/3',
  WEBDIST_LICENSE_SIGNING_CERTIFICATE_URL: 'https://example.com/4',
  WEBDIST_LICENSE_ENCRYPTION_CERTIFICATE_URL: 'https://example.com/5',
  WEBDIST_PUBLIC_URL: 'https://api.example.com',
  WEBDIST_HELD_RESTORE: 'fail',
  WEBDIST_UPDATES_POLLING_HOURS: '48',
  WEBDIST_DEVICE_CREDENTIAL: 'required',
  WEBDIST_OAUTH: 'off',
  WEBDIST_OAUTH_LOGIN_URL: 'https://example.com/login',
  WEBDIST_OAUTH_AUTHORIZE_URL: 'https://example.com/authorize',
  WEBDIST_OAUTH_TOKEN_URL: 'https://example.com/token',
  WEBDIST_WEBHOOK_SECRET: 'the secret of the webhook',
  WEBDIST_PACKAGES_DIR: '/srv/adp',
  WEBDIST_PACKAGES_URL: 'https://example.com/adp',
  WEBDIST_PACKAGES_KEEP: '2',
  WEBDIST_AUDIT: '/var/log/webdist.audit',
  WEBDIST_AUDIT_MAX_MB: '512',
  WEBDIST_DATA_DIR: '/var/lib/webdist',
  WEBDIST_DOCTOR_MINUTES: '15',
  WEBDIST_DOCTOR_PUBLIC: 'https://example.com/camping',
  ASC_KEY_ID: 'OTHER',
  ASC_ISSUER_ID: '57246542-96fe-1a63-e053-0824d011072b',
  ASC_PRIVATE_KEY: 'env://API_KEY',
  ASC_PRIVATE_KEY_PATH: '/run/secrets/api.p8',
  ASC_PRIVATE_KEY_B64: btoa('-----BEGIN PRIVATE KEY-----'),
  ASC_BASE_URL: 'http://sandbox:8090',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=x',
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'authorization=y',
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf',
  OTEL_TRACES_EXPORTER: 'none',
  OTEL_SDK_DISABLED: 'true',
  OTEL_SERVICE_NAME: 'shop',
  OTEL_RESOURCE_ATTRIBUTES: 'a=b',
  OTEL_TRACES_SAMPLER: 'always_off',
  OTEL_TRACES_SAMPLER_ARG: '0.5',
  OTEL_BSP_SCHEDULE_DELAY: '1',
  OTEL_BSP_EXPORT_TIMEOUT: '1',
  OTEL_BSP_MAX_QUEUE_SIZE: '1',
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1',
};

t.test(
  'every setting has the same value in NAME and in NAME_FILE, with any white space around it, in both modes',
  async (t) => {
    const folder = t.testdir();
    const path = join(folder, 'value');
    const file = (content: string) => {
      writeFileSync(path, content);
      return path;
    };
    for (const [name, text] of Object.entries(samples) as [SettingName, string][]) {
      // A file that holds the key itself is read where the key is used, so its path is the value.
      const inFile = name === 'ASC_PRIVATE_KEY_B64' ? pathToFileURL(path).href : undefined;
      const usual = readSettings({}).values[name];
      for (const mode of ['production', 'sandbox'] as const) {
        const read = (env: Record<string, string>) => {
          const { files: _, ...all } = readSettings({ ...(name !== 'WEBDIST_MODE' && { WEBDIST_MODE: mode }), ...env });
          // The sources of the values differ.
          return { ...all, given: new Set(all.given.keys()) };
        };
        const none = read({});
        const given = read({ [name]: text });
        const givenInFile = inFile ? { ...given, values: { ...given.values, [name]: inFile } } : given;
        const differing: string[] = [];
        const compare = (what: string, actual: unknown, expected: unknown) => {
          if (!isDeepStrictEqual(actual, expected)) differing.push(what);
        };
        for (const [before, after] of [
          ['', ''],
          ['', '\n'],
          ['', '\r\n'],
          ['  ', '\t'],
          ['\uFEFF', ' \n\n'],
        ]) {
          const around = JSON.stringify([before, after]);
          compare(`NAME ${around}`, read({ [name]: `${before}${text}${after}` }), given);
          compare(`a file ${around}`, read({ [`${name}_FILE`]: file(`${before}${text}${after}`) }), givenInFile);
          compare(`its path ${around}`, read({ [`${name}_FILE`]: `${before}${file(text)}${after}` }), givenInFile);
          compare(`an empty NAME ${around}`, read({ [name]: `${before}${after}` }), none);
          const warnings = [{ variable: `${name}_FILE`, message: `the file is empty, so ${name} counts as not set` }];
          compare(`an empty file ${around}`, read({ [`${name}_FILE`]: file(`${before}${after}`) }), {
            ...none,
            warnings,
          });
        }
        t.strictSame([given.problems, given.warnings, differing], [[], [], []], `${name}, ${mode}`);
        t.notSame(given.values[name], usual, 'it is not the default');
      }
    }
  },
);

t.test(
  'variables of Kubernetes and Docker for Services are not settings; anything else unknown is an error',
  async (t) => {
    const service = (name: string, address: string) => ({
      [`${name}_SERVICE_HOST`]: address,
      [`${name}_SERVICE_PORT`]: '80',
      [`${name}_SERVICE_PORT_HTTP`]: '80',
      [`${name}_SERVICE_PORT_OPERATOR_UI`]: '9090',
      [`${name}_PORT`]: `tcp://${address}:80`,
      [`${name}_PORT_80_TCP`]: `tcp://${address}:80`,
      [`${name}_PORT_80_TCP_PROTO`]: 'tcp',
      [`${name}_PORT_80_TCP_PORT`]: '80',
      [`${name}_PORT_80_TCP_ADDR`]: address,
      [`${name}_PORT_53_UDP_ADDR`]: address,
      [`${name}_PORT_53_SCTP`]: `sctp://${address}:53`,
      [`${name}_NAME`]: '/shop/webdist',
      [`${name}_ENV_PG_MAJOR`]: '18',
    });
    for (const name of [
      'WEBDIST',
      'WEBDIST_POSTGRES',
      'WEBDIST_LEDGER',
      'WEBDIST_DOMAIN',
      'WEBDIST_OPERATOR',
      'WEBDIST_KEY',
    ])
      for (const address of ['10.0.0.1', '[fd00::1]']) {
        const read = readSettings({ ...minimal, ...service(name, address) });
        t.strictSame([read.problems, read.warnings], [[], []], name);
        t.strictSame(read, readSettings(minimal), `${name} changes nothing`);
      }
    t.strictSame(problemsOf({ ...minimal, ...service('SHOP', '10.0.0.1') }), []);
    for (const [name, value] of Object.entries({
      WEBDIST_PORT: '8080',
      WEBDIST_LEDGER_PORT: 'http://10.0.0.1',
      WEBDIST_PORT_80: '80',
      WEBDIST_PORT_HTTP_TCP: 'x',
      WEBDIST_SERVICE: 'x',
      WEBDIST_NAME: 'x',
      WEBDIST_ENV_: 'x',
      WEBDIST_SERVICE_HOSTS: 'x',
      WEBDIST_: 'x',
      WEBDIST_DOMAN: 'example.com',
      WEBDIST_DOMAIN_FILE_FILE: '/x',
      WEBDIST_TYPO_FILE: '/x',
    }))
      t.match(problemsOf({ ...minimal, [name]: value }), [new RegExp(`^${name}: there is no such setting`)]);
  },
);

t.test('quotes that a file of variables kept, and a byte order mark, are named', async (t) => {
  for (const [name, value] of Object.entries(samples))
    for (const quote of ['"', "'"]) {
      const read = readSettings({ [name]: `${quote}${value}${quote}` });
      const isKey = name === 'ASC_PRIVATE_KEY_B64'; // repaired where it is read
      const named = [{ variable: name, message: /there are quotes around the value; remove them$/ }];
      t.match([...read.problems, ...read.warnings], isKey ? [] : named, name);
    }
  const bom = readSettings({ '\uFEFFWEBDIST_DOMAIN': 'example.com', '\uFEFFHOST': '::', '\uFEFFPATH': '/bin' });
  t.match(bom.problems, [
    { variable: 'WEBDIST_DOMAIN', message: /^its name has a byte order mark/ },
    { variable: 'HOST', message: /^its name has a byte order mark/ },
  ]);
});

t.test(
  'every URL with a login is parsed, and a password that needs escaping is refused without being shown',
  async (t) => {
    const secret = 'w/rd';
    const ledger = { WEBDIST_LEDGER_SECRET: 'x'.repeat(40) };
    const bad = (variable: string, url: string) => {
      const problems = problemsOf({ ...minimal, ...ledger, [variable]: url });
      t.match(problems, [new RegExp(`^${variable}: .*percent-encode`)], url);
      t.notOk(problems.join().includes(secret));
      t.notOk(problems.join().includes('p@ss'));
    };
    const good = (variable: string, url: string) =>
      t.strictSame(problemsOf({ ...minimal, ...ledger, [variable]: url }), [], url);
    for (const userInfo of [
      'shop:p@ss:w/rd@',
      'shop:p@ss/w/rd@',
      'shop:p/w@',
      'shop:p#w/rd@',
      'shop:1?w/rd@',
      'shop:1#2@',
      'shop:100%@',
      'shop:p%4@',
      'shop:a:b@',
      'shop:p@ss@',
      'shop:p w@',
      'shop:p\nw@',
      'sh/op:pass@',
    ]) {
      bad('WEBDIST_REDIS_URL', `redis://${userInfo}127.0.0.1:6379`);
      bad('WEBDIST_REDIS_URL', `rediss://${userInfo}127.0.0.1:6379/0`);
      bad('WEBDIST_LEDGER', `postgres://${userInfo}db/x`);
      bad('WEBDIST_LEDGER', `postgresql://${userInfo}db1:5432,db2:5432/x?target_session_attrs=read-write`);
    }
    bad('WEBDIST_LEDGER', 'postgres://shop:p@ss/word@db/x');
    bad('WEBDIST_LEDGER', 'postgres://db/a/b');
    bad('WEBDIST_LEDGER', 'postgres://db:port/x');
    bad('WEBDIST_REDIS_URL', 'redis://:6379');
    bad('WEBDIST_REDIS_URL', 'redis://h:99999');
    for (const url of [
      'redis://localhost',
      'redis://:p%40ss@h:6379',
      'redis://shop:p%2Fss@[::1]:6379/3',
      'rediss://h?family=6',
      'redis://h/',
    ])
      good('WEBDIST_REDIS_URL', url);
    for (const url of [
      'postgres://db/x',
      'postgresql://shop:p%40ss%2Fword@db:5432/x?sslmode=verify-full&sslrootcert=/run/ca.pem',
      'postgres://shop@db1:5432,db2:5433,[::1]/x?target_session_attrs=read-write',
      'postgres:///x?host=/var/run/postgresql',
      'postgres://%2Fvar%2Frun%2Fpostgresql/x',
      'postgres://shop@db',
      'sqlite:///var/lib/webdist/ledger.sqlite',
      'memory:',
      'off',
    ])
      good('WEBDIST_LEDGER', url);
  },
);

t.test('a range that trusts every address is refused with the reason', async (t) => {
  for (const range of [
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/0',
    '0:0:0:0:0:0:0:0/0',
    '::ffff:0:0/96',
    '::ffff:0.0.0.0/96',
    '::ffff:10.0.0.1/90',
    '10.0.0.1, ::/0',
  ])
    t.match(
      problemsOf({ ...minimal, WEBDIST_TRUST_PROXY: range }),
      [/^WEBDIST_TRUST_PROXY: this range trusts every address, so visitors/],
      range,
    );
  for (const range of ['10.0.0.0/8', '::1', '2001:db8::/32', '::ffff:10.0.0.0/104', '192.0.2.7'])
    t.strictSame(readConfig({ ...minimal, WEBDIST_TRUST_PROXY: range }).trustProxy, [range]);
});

t.test('an OTEL_* value that webdist does not support is a warning', async (t) => {
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  for (const base of [{}, on])
    for (const [name, value] of Object.entries({
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://user:secret@example.com/',
      OTEL_TRACES_EXPORTER: 'zipkin,console',
      OTEL_TRACES_SAMPLER: 'jaeger_remote',
      OTEL_TRACES_SAMPLER_ARG: '1.5',
      OTEL_BSP_MAX_QUEUE_SIZE: '-1',
    })) {
      const { warnings, ...config } = readConfig({ ...minimal, ...base, [name]: value });
      const { warnings: none, ...usual } = readConfig({ ...minimal, ...base });
      t.match(warnings, [{ variable: name, message: /^ignored: expected/ }]);
      t.notMatch(warnings[0]?.message, value);
      t.strictSame(none, []);
      t.strictSame(config, usual, 'the rest is as without it');
    }
  t.match(readConfig({ ...minimal, OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' }), {
    tracing: undefined,
    warnings: [{ variable: 'OTEL_EXPORTER_OTLP_ENDPOINT' }],
  });
  const upper = {
    OTEL_TRACES_EXPORTER: 'OTLP',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'HTTP/protobuf',
    OTEL_TRACES_SAMPLER: 'ALWAYS_ON',
  };
  t.match(readConfig({ ...minimal, ...upper }), { warnings: [], tracing: { sampler: { name: 'always_on' } } });
});

t.test('white space inside a value is reported where it is the problem', async (t) => {
  t.match(problemsOf({ ...minimal, WEBDIST_DOMAIN: 'exam ple.com' }), [
    /^WEBDIST_DOMAIN: there is white space in the value; /,
  ]);
  t.match(problemsOf({ ...minimal, ASC_KEY_ID: '2X9R\n4HXF34' }), [/^ASC_KEY_ID: there is white space in the value; /]);
  t.match(problemsOf({ ...minimal, WEBDIST_LEDGER_SECRET: `${'x'.repeat(40)}\nx` }), [/^WEBDIST_LEDGER_SECRET: /]);
  t.match(problemsOf({ ...minimal, WEBDIST_DATA_DIR: '/a\n/b' }), [/^WEBDIST_DATA_DIR: there is white space/]);
  t.notMatch(problemsOf({ ...minimal, PORT: 'x y' }), /white space/);
});

t.test('a command that needs a few settings ignores problems with the others', async (t) => {
  const read = readSettings({ PORT: 'x', WEBDIST_DOMAIN: 'example.com', HOST_FILE: '/none' });
  t.strictSame(only(['WEBDIST_DOMAIN', 'WEBDIST_AUDIT'], read).WEBDIST_DOMAIN, 'example.com');
  t.throws(() => only(['PORT'], read), {
    code: 'config_invalid',
    message: /^One setting is wrong:\n {2}PORT: expected/,
  });
  t.throws(() => only(['HOST'], read), { message: /HOST_FILE: the file cannot be read \(ENOENT\)/ });
});
