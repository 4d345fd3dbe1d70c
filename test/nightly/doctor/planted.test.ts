/**
 * Faults planted one at a time into a complete installation with real servers: AWS KMS (moto), PostgreSQL, Redis and nginx.
 * The doctor must name each one, and only it, and must find nothing in a correct installation of any kind.
 */

import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { CreateKeyCommand, type KeySpec, KMSClient } from '@aws-sdk/client-kms';
import { Redis } from 'ioredis';
import t from 'tap';
import { makeCertificate } from '../../harness/certificates.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { noNginx } from '../../harness/nginx.ts';
import { listen } from '../../harness/port.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { noRedis, openRedisServer } from '../../harness/redis.ts';
import { endFaults, setFault } from '../../harness/sandbox.ts';
import { startAws, withoutMoto } from '../../harness/stand-ins/aws.ts';
import { setVariables } from '../../harness/stand-ins/variables.ts';
import { type Fault, namesEach, startSetup } from './setup.ts';

const skip = noNginx || noPostgres || noRedis || withoutMoto || false;
const SECRET = 'a secret of the ledger that is long enough';

t.test('healthy installations', { skip: noNginx }, async (t) => {
  for (const [kind, path] of [
    ['a key in a file', '/'],
    ['under a path', '/webdist/'],
  ] as const)
    await t.test(kind, async (t) => t.strictSame(await (await startSetup(t, {}, path)).diagnose(), []));
});

t.test('planted faults', { skip, timeout: 600_000 }, async (t) => {
  const aws = await startAws();
  t.teardown(() => aws[Symbol.asyncDispose]());
  setVariables(t, aws.variables);
  const kms = new KMSClient();
  t.teardown(() => kms.destroy());
  const newKey = async (KeySpec: KeySpec = 'ECC_NIST_P256') =>
    `awskms:///${(await kms.send(new CreateKeyCommand({ KeySpec, KeyUsage: 'SIGN_VERIFY' }))).KeyMetadata?.KeyId}`;

  const postgres = await openPostgresServer({
    hba: ['host all guarded 127.0.0.1/32 scram-sha-256', 'host all all 127.0.0.1/32 trust'],
  });
  t.teardown(() => postgres.close());
  const ledger = await postgres.freshUrl();
  const login = (user: string, password = '') => Object.assign(new URL(ledger), { username: user, password }).href;
  for (const role of ['reader', 'guarded']) await postgres.admin(`CREATE ROLE ${role} LOGIN PASSWORD 'right'`);

  const redis = await openRedisServer();
  t.teardown(() => redis.stop());
  const admin = new Redis(redis.url);
  t.teardown(() => admin.disconnect());
  await admin.call('ACL', 'SETUSER', 'limited', 'on', '>right', '~other-*', '+@all');
  const replica = await openRedisServer('--replicaof', '127.0.0.1', String(redis.port));
  t.teardown(() => replica.stop());

  const setup = await startSetup(
    t,
    {
      WEBDIST_KEY: await newKey(),
      WEBDIST_LEDGER: ledger,
      WEBDIST_LEDGER_SECRET: SECRET,
      WEBDIST_REDIS_URL: redis.url,
    },
    '/webdist/',
  );
  const { sandbox, licence, folder } = setup;
  // A session that finds this schema first has another clock than the server.
  await postgres.admin(
    `CREATE SCHEMA wrong; CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql
      AS $$ SELECT pg_catalog.clock_timestamp() + interval '10 minutes' $$`,
    ledger,
  );
  await postgres.admin('GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader', ledger);
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  const taken = createServer();
  t.teardown(() => void taken.close());
  const takenPort = String(await listen(taken));

  await t.test('nothing is found before a fault is planted', async (t) => t.strictSame(await setup.diagnose(), []));

  const ofAws = (fault: 'denied' | 'throttled' | 'broken' | 'expired') => async () => {
    aws.fault = fault;
    return () => {
      aws.fault = undefined;
    };
  };
  const atApple = (fault: object) => async () => {
    await setFault(sandbox, fault);
    return () => endFaults(sandbox);
  };
  const inRedis = (name: string, value: string, before: string) => async () => {
    await admin.config('SET', name, value);
    return () => admin.config('SET', name, before);
  };
  const ofLicences = (fault: typeof licence.fault) => async () => {
    licence.fault = fault;
    return () => {
      licence.fault = undefined;
    };
  };
  const cache = temporaryFolder(t);
  chmodSync(cache, 0o777); // nginx's workers run as nobody
  const ending = makeCertificate('example.com', 3);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), ending.cert]);
  const noUrl = Object.fromEntries(Object.keys(licence.settings).map((name) => [name, '']));

  const faults: Readonly<Record<string, Fault>> = {
    'a misspelt setting': { id: 'settings', says: /WEBDIST_REDIS_ULR/, settings: { WEBDIST_REDIS_ULR: 'x' } },
    'no secret for a shared ledger': {
      id: 'settings',
      says: /WEBDIST_LEDGER_SECRET/,
      settings: { WEBDIST_LEDGER_SECRET: '' },
    },
    'tokens for everyone': { id: 'callers', says: /any program/, settings: { WEBDIST_ANONYMOUS: 'any' } },
    'tokens that end too soon': { id: 'token-lifetime', says: /60 s/, settings: { WEBDIST_TOKEN_LIFETIME: '60' } },
    'a port in use': { id: 'listen', says: /^PORT: cannot listen/, settings: { PORT: takenPort } },
    'an address of another machine': { id: 'listen', says: /^HOST: cannot listen/, settings: { HOST: '203.0.113.9' } },
    'an audit path below a file': {
      id: 'audit-file',
      says: /not a folder/,
      settings: { WEBDIST_AUDIT: join(file, 'audit') },
    },
    'a data folder that is a file': { id: 'data-folder', says: /not a folder/, settings: { WEBDIST_DATA_DIR: file } },
    'a data folder that cannot be created': {
      id: 'data-folder',
      says: /cannot be/,
      settings: { WEBDIST_DATA_DIR: '/proc/nope/data' },
    },
    'KMS denies access': { id: 'key-held', says: /may not be used/, plant: ofAws('denied') },
    'KMS fails': { id: 'key-held', says: /AWS KMS/, plant: ofAws('broken') },
    'an expired session of AWS': { id: 'key-held', says: /expired/, plant: ofAws('expired') },
    'a key in KMS that does not exist': {
      id: 'key-held',
      says: /does not exist|not found/,
      settings: { WEBDIST_KEY: 'awskms:///00000000-0000-0000-0000-000000000000' },
    },
    'a key in KMS of another kind': {
      id: 'key-held',
      says: /P-256|ECC_NIST_P256|not.*key/,
      settings: { WEBDIST_KEY: await newKey('RSA_2048') },
    },
    'another key than the registered one': {
      id: 'key-matches',
      says: /is registered/,
      settings: { WEBDIST_KEY: await newKey() },
    },
    'the .p8 is missing': {
      id: 'api-key-held',
      says: /none\.p8/,
      settings: { ASC_PRIVATE_KEY_B64: '', ASC_PRIVATE_KEY_PATH: '/none.p8' },
    },
    'an API key id of another key': { id: 'api-credentials', says: /./, settings: { ASC_KEY_ID: 'REVOKED123' } },
    'an issuer id of another account': {
      id: 'api-credentials',
      says: /./,
      settings: { ASC_ISSUER_ID: '57246542-96fe-1a63-e053-0824d011072a' },
    },
    'an agreement is pending at Apple': {
      id: 'api-agreement',
      says: /./,
      plant: atApple({ status: 403, code: 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED' }),
    },
    'a role that may not read keys': {
      id: 'api-role',
      says: /./,
      plant: atApple({ path: '/v1/alternativeDistributionKeys', status: 403 }),
    },
    'the hourly limit at Apple is used up': { id: 'api-rate', says: /./, plant: atApple({ status: 429 }) },
    'Apple is down': { id: 'api-reachable', says: /./, plant: atApple({ status: 503 }) },
    'a clock that is wrong': { id: 'clock', says: /120 s/, plant: atApple({ clockSkewSeconds: 120 }) },
    'an app of another account': {
      id: 'app-found',
      says: /AppleItemID/,
      settings: { WEBDIST_APPLE_ITEM_ID: '6500000009' },
    },
    'no such database': {
      id: 'ledger',
      says: /no database/,
      settings: { WEBDIST_LEDGER: ledger.replace(/\w+$/, 'nope') },
    },
    'a wrong password of PostgreSQL': {
      id: 'ledger',
      says: /rejects the user or the password/,
      settings: { WEBDIST_LEDGER: login('guarded', 'wrong') },
    },
    'a role that may only read': {
      id: 'ledger',
      says: /does not grant/,
      settings: { WEBDIST_LEDGER: login('reader') },
    },
    'PostgreSQL is read-only': {
      id: 'ledger',
      says: /read-only/,
      settings: { WEBDIST_LEDGER: `${ledger}?options=-c%20default_transaction_read_only%3Don` },
    },
    'nothing listens at the address of PostgreSQL': {
      id: 'ledger',
      says: /ECONNREFUSED/,
      settings: { WEBDIST_LEDGER: 'postgres://webdist@127.0.0.1:1/webdist' },
    },
    'the secret of another ledger': {
      id: 'ledger',
      says: /another WEBDIST_LEDGER_SECRET/,
      settings: { WEBDIST_LEDGER_SECRET: `${SECRET}, but not this one` },
    },
    'a clock of the database that is wrong': {
      id: 'ledger',
      says: /clock of the database is (599|600) s ahead/,
      settings: { WEBDIST_LEDGER: `${ledger}?options=-c%20search_path%3Dwrong,public,pg_catalog` },
    },
    'a read replica that does not answer': {
      id: 'ledger-read',
      says: /ECONNREFUSED/,
      settings: { WEBDIST_LEDGER_READ: 'postgres://webdist@127.0.0.1:1/webdist' },
    },
    'nothing listens at the address of Redis': {
      id: 'redis',
      says: /ECONNREFUSED/,
      settings: { WEBDIST_REDIS_URL: 'redis://127.0.0.1:1' },
    },
    'a user of Redis without access to the keys': {
      id: 'redis',
      says: /does not allow/,
      settings: { WEBDIST_REDIS_URL: redis.url.replace('//', '//limited:right@') },
    },
    'a replica of Redis': { id: 'redis', says: /read-only replica/, settings: { WEBDIST_REDIS_URL: replica.url } },
    'the memory of Redis is full': { id: 'redis', says: /memory is full/, plant: inRedis('maxmemory', '1', '0') },
    'no licence server': { id: 'licence-settings', says: /not set/, settings: noUrl },
    'a licence server that is down': { id: 'licence-endpoints', says: /503/, plant: ofLicences('down') },
    'certificates of the licence server that expire soon': {
      id: 'licence-certificates',
      says: /expires in/,
      plant: ofLicences('certificates that expire soon'),
    },
    'a public URL of another domain': {
      id: 'public-url',
      says: /is on example\.net/,
      also: ['service-ready'],
      settings: { WEBDIST_PUBLIC_URL: 'https://example.net/webdist' },
    },
    'a page that does not exist': { id: 'page-reachable', says: /404/, page: 'https://example.com/trailmaps' },
    'a page that redirects': {
      id: 'page-redirect',
      says: /www/,
      site: { page: 'return 301 https://www.example.com/trailmap;' },
    },
    'a certificate of another name': {
      id: 'page-certificate',
      says: /./,
      site: { certificate: makeCertificate('www.example.com', 90) },
    },
    'a page without the button': { id: 'page-button', says: /no install button/, site: { html: '<p>Soon</p>' } },
    'a policy of the web server that blocks the button': {
      id: 'page-csp',
      says: /connect-src/,
      site: { page: `add_header Content-Security-Policy "script-src 'self'; connect-src https://api.example.com";` },
    },
    'a package that is not public': { id: 'package-public', says: /403/, site: { package: 'deny all;' } },
    'a web server that changes the manifest': {
      id: 'package-exact',
      says: /./,
      site: { package: "sub_filter_types application/json; sub_filter '{' '{ ';" },
    },
    'a manifest of another type': {
      id: 'package-type',
      says: /text\/plain/,
      site: { package: 'proxy_hide_header Content-Type; add_header Content-Type text/plain;' },
    },
    'a path that is not passed on': {
      id: 'service-ready',
      says: /does not answer/,
      site: { service: "return 404 'Not Found';" },
    },
    'a service that is down': { id: 'service-ready', says: /502/, site: { service: 'return 502;' } },
    'a firewall that stops requests for tokens': {
      id: 'token-answer',
      says: /403/,
      site: { service: 'if ($request_method = POST) { return 403; }' },
    },
    'a web server that permits caches': {
      id: 'token-cache',
      says: /max-age/,
      site: { service: 'proxy_hide_header Cache-Control; add_header Cache-Control "public, max-age=60";' },
    },
    'a web server that caches tokens': {
      id: 'token-cache',
      says: /the same token/,
      site: {
        http: `proxy_cache_path ${cache} keys_zone=all:1m;`,
        service:
          'proxy_cache all; proxy_cache_methods GET HEAD POST; proxy_cache_key $request_uri; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control Set-Cookie Vary;',
      },
    },
    'a web server that adds CORS headers': {
      id: 'token-cors',
      says: /\*/,
      site: { service: 'proxy_hide_header Access-Control-Allow-Origin; add_header Access-Control-Allow-Origin *;' },
    },
    'a web server that removes cookies': {
      id: 'device-cookie',
      says: /no cookie/,
      site: { service: 'proxy_hide_header Set-Cookie;' },
    },
    'a web server that keeps cookies for itself': {
      id: 'device-cookie',
      says: /does not receive/,
      site: { service: 'proxy_set_header Cookie "";' },
    },
    'a proxy that is not named': {
      id: 'proxy-trusted',
      says: /TRUST_PROXY is not set/,
      settings: { WEBDIST_TRUST_PROXY: '', WEBDIST_COUNTRY_HEADER: '' },
    },
    'a document for devices that redirects': {
      id: 'kit-redirect',
      says: /www/,
      site: { kit: 'return 301 https://www.example.com$request_uri;' },
    },
    'a document for devices that needs a password': {
      id: 'kit-reachable',
      says: /401/,
      site: { kit: 'auth_basic website; auth_basic_user_file /dev/null;' },
    },
    'a proxy at another address than the one that is named': {
      id: 'proxy-trusted',
      says: /proxy at 127\.0\.0\.1/,
      settings: { WEBDIST_TRUST_PROXY: '192.0.2.1' },
    },
    'a CDN before the proxy that is not named': {
      id: 'proxy-trusted',
      says: /proxy at 198\.51\.100\.7/,
      site: { forwarded: '"$remote_addr, 198.51.100.7"' },
    },
    'a proxy that does not say who the visitor is': {
      id: 'proxy-trusted',
      says: /sends no X-Forwarded-For/,
      site: { forwarded: '""' },
    },
    'a proxy that does not send the country': {
      id: 'country-header',
      says: /without x-country/,
      site: { country: '""' },
    },
    'a copy of an earlier document for devices': {
      id: 'kit-licences',
      says: /licenseRenewalURL/,
      site: { kit: "sub_filter_types application/json; sub_filter '/renew' '/renewal';" },
    },
    'restore requests that are not passed on': {
      id: 'kit-requests',
      says: /restore: POST .* answers 404/,
      site: { service: 'if ($request_uri ~ restore) { return 404; }' },
    },
    'a firewall that stops update requests': {
      id: 'kit-requests',
      says: /updates\.url: POST .* answers 403/,
      site: { service: 'if ($request_uri ~ updates) { return 403; }' },
    },
    'a sign-in document that is not passed on': {
      id: 'oauth-document',
      says: /answers 404/,
      site: { oauth: 'return 404;' },
    },
    'a token endpoint that is not passed on': {
      id: 'oauth-document',
      says: /oauth\/token answers 404/,
      site: { service: 'if ($request_uri ~ oauth/token) { return 404; }' },
    },
    'webhooks that are not passed on': {
      id: 'webhook',
      says: /webhooks/,
      site: { service: 'if ($request_uri ~ webhooks) { return 404; }' },
    },
    'a button from a path where there is none': {
      id: 'page-button',
      says: /install-button\.js, which answers 404/,
      site: { html: '<script type="module" src="/js/install-button.js"></script><install-button></install-button>' },
    },
    'a button for another app': {
      id: 'page-button',
      says: /com\.example\.trailmaps/,
      site: {
        html: '<script type=module src=/webdist/install-button.js></script><install-button app="com.example.trailmaps">',
      },
    },
    'a package of which variants are missing': {
      id: 'package-assets',
      says: /variant.* answers 404/,
      site: { package: 'if ($request_uri ~ variant) { return 404; }' },
    },
    'a file of the package that was cut off': {
      id: 'package-assets',
      says: /has 3 bytes, but the manifest/,
      site: { package: "if ($request_uri ~ variant) { return 200 'ipa'; }" },
    },
    'an API key of a server that has expired': {
      id: 'api-keys',
      says: /shop has expired/,
      settings: { WEBDIST_API_KEYS: `shop:${'0'.repeat(64)}:60:2025-12-31` },
    },
    'certificates of the licence server that have expired': {
      id: 'licence-certificates',
      says: /has expired/,
      plant: ofLicences('certificates that have expired'),
    },
    'a licence URL that leads to a page': {
      id: 'licence-endpoints',
      says: /is a page/,
      plant: ofLicences('a page'),
    },
    'a certificate that expires soon': { id: 'certificate-expiry', says: /expires in/, site: { certificate: ending } },
  };
  await namesEach(t, setup, faults);
});
