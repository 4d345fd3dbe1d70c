/** The JSON Schema of the apps file accepts what the reader accepts, and refuses what it refuses. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fastify from 'fastify';
import t from 'tap';
import { appsFileSchema, readConfigFile } from '../../src/config/apps-file.ts';
import type { Problem } from '../../src/config/problems.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { writeJson } from '../harness/write-json.ts';

const SHIPPED = 'docs/apps-file.schema.json';
const schema = JSON.parse(JSON.stringify(appsFileSchema()));
if (process.env['WEBDIST_WRITE_DOCS']) writeJson(SHIPPED, schema);
t.strictSame(
  JSON.parse(readFileSync(SHIPPED, 'utf8')),
  schema,
  `${SHIPPED} is current (WEBDIST_WRITE_DOCS=1 writes it)`,
);

const app = { bundleId: 'com.example.app', appleItemId: '6500000001', key: 'env://KEY' };
const apiKey = { name: 'shop', sha256: 'a'.repeat(64) };
const withApp = (more: object) => ({ apps: [{ ...app, ...more }] });
const withKey = (more: object) => ({ apps: [app], apiKeys: [{ ...apiKey, ...more }] });
const license = { dynamicLicenseURL: 'https://example.com/license' };

const valid: Readonly<Record<string, unknown>> = {
  'one app': { apps: [app] },
  'a domain': { domain: 'Get.example.com', apps: [app] },
  'an id as a number': withApp({ appleItemId: 6500000001 }),
  'two candidates': withApp({ key: 'env://KEY file:///run/secrets/key.pem' }),
  'every member': withApp({
    keyId: '0f3c8a52',
    packageUrl: 'HTTPS://example.com/adp',
    packageManifest: 'file:///srv/manifest.json',
    appShareUrl: 'https://example.com/app',
    versions: { 2000000042: { hold: true }, 2000000057: { percent: 10 } },
    marketplaceKit: { license, restore: 'https://example.com/r', updates: { pollingInterval: 24 } },
  }),
  'API keys': withKey({ tokensPerMinute: 600, until: '2027-12-31', apps: ['com.example.app'] }),
};
const invalid: Readonly<Record<string, unknown>> = {
  'a list': [],
  'no apps': {},
  'an empty list of apps': { apps: [] },
  'an unknown member': { apps: [app], colour: 'red' },
  'an unknown member of an app': withApp({ url: 'https://example.com' }),
  'a domain with a scheme': { domain: 'https://example.com', apps: [app] },
  'no bundle id': withApp({ bundleId: undefined }),
  'a bundle id of one word': withApp({ bundleId: 'camping' }),
  'an id with letters': withApp({ appleItemId: '65x' }),
  'an id with a leading zero': withApp({ appleItemId: '0650' }),
  'a negative id': withApp({ appleItemId: -1 }),
  'a key without a scheme': withApp({ key: '/run/secrets/key.pem' }),
  'a number as the key': withApp({ key: 7 }),
  'a package URL without a scheme': withApp({ packageUrl: 'example.com/adp' }),
  'a manifest at ftp': withApp({ packageManifest: 'ftp://example.com/m' }),
  'a version without a rule': withApp({ versions: { 2000000042: {} } }),
  'a version that is not a number': withApp({ versions: { latest: { hold: true } } }),
  'two rules for a version': withApp({ versions: { 2000000042: { hold: true, percent: 3 } } }),
  'more than all': withApp({ versions: { 2000000042: { percent: 101 } } }),
  'half a percent': withApp({ versions: { 2000000042: { percent: 0.5 } } }),
  'an unknown licence URL': withApp({ marketplaceKit: { license: { licenceURL: 'https://example.com' } } }),
  'a short hash': withKey({ sha256: 'abc' }),
  'a limit of zero': withKey({ tokensPerMinute: 0 }),
  'a limit as text': withKey({ tokensPerMinute: '600' }),
  'a date in words': withKey({ until: 'tomorrow' }),
  'no apps for a key': withKey({ apps: [] }),
};
/** A schema cannot refuse these. */
const onlyByReader: Readonly<Record<string, unknown>> = {
  'an id twice': { apps: [app, app] },
  'a key for another app': withKey({ apps: ['com.example.other'] }),
};

t.test('schema and reader', async (t) => {
  const path = join(temporaryFolder(t), 'apps.json');
  const server = fastify({ ajv: { customOptions: { coerceTypes: false, removeAdditional: false, strict: false } } });
  server.post('/', { schema: { body: appsFileSchema() } }, async () => 'ok');
  t.teardown(() => server.close());
  const bySchema = async (text: string) =>
    (await server.inject({ method: 'POST', url: '/', payload: text, headers: { 'content-type': 'application/json' } }))
      .statusCode === 200;
  const byReader = (text: string) => {
    writeFileSync(path, text);
    const problems: Problem[] = [];
    readConfigFile(path, problems);
    return problems.length === 0;
  };
  for (const [files, expected] of [
    [valid, { schema: true, reader: true }],
    [invalid, { schema: false, reader: false }],
    [onlyByReader, { schema: true, reader: false }],
  ] as const)
    for (const [name, content] of Object.entries(files)) {
      const text = JSON.stringify(content);
      t.strictSame({ schema: await bySchema(text), reader: byReader(text) }, expected, name);
    }
});
