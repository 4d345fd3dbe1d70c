/**
 * Google Secret Manager: the contract against a stand-in for its REST API, and against Google itself when
 * GOOGLE_TEST_SECRET_LOCATOR names a secret there that Application Default Credentials can read, and
 * GOOGLE_TEST_SECRET_TEXT is its text.
 */

import { join } from 'node:path';
import t from 'tap';
import { openGoogleSecret } from '../../src/secrets/google.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { startGoogle } from '../harness/stand-ins/google.ts';
import { setVariables, unset } from '../harness/stand-ins/variables.ts';
import { secretsContract } from './contract.ts';

const open = (name: string, env = process.env) => openGoogleSecret(`gcpsecrets://${name}`, env);

t.test('Google itself', { skip: unset('GOOGLE_TEST_SECRET_LOCATOR') }, (t) => {
  const name = process.env['GOOGLE_TEST_SECRET_LOCATOR']?.replace('gcpsecrets://', '') ?? '';
  return secretsContract(t, async () => ({
    backend: 'gcpsecrets',
    named: /Google Secret Manager/,
    open: () => open(name),
    text: process.env['GOOGLE_TEST_SECRET_TEXT'] ?? '',
    failures: { absent: () => open(name.replace(/\w+$/, '999999')), malformedLocator: () => open('secret') },
    secrets: ['BEGIN PRIVATE KEY'],
  }));
});

t.test('the stand-in', async (t) => {
  const google = await startGoogle();
  t.teardown(() => google[Symbol.asyncDispose]());
  const folder = t.testdir({ 'account.json': JSON.stringify(google.credentials) });
  setVariables(t, google.variables(join(folder, 'account.json')));
  const text = '-----BEGIN PRIVATE KEY-----\nin the secret\n-----END PRIVATE KEY-----\n';
  const name = 'projects/shop/secrets/webdist-key/versions/latest';
  google.secrets.set(name, text);
  google.secrets.set('projects/shop/secrets/nothing/versions/1', '');

  const failing = (fault: Fault) => async () => {
    const source = await open(name);
    const read = async () => {
      google.fault = fault;
      return source.read().finally(() => {
        google.fault = undefined;
      });
    };
    return { ...source, read };
  };

  await secretsContract(t, async () => ({
    backend: 'gcpsecrets',
    named: /Google Secret Manager/,
    open: () => open(name),
    text,
    change: (changed) => {
      google.secrets.set(name, changed);
    },
    failures: {
      absent: () => open('projects/shop/secrets/absent/versions/1'),
      empty: () => open('projects/shop/secrets/nothing/versions/1'),
      denied: failing('denied'),
      unreachable: () => open(name, { CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: 'http://127.0.0.1:1/' }),
      throttled: failing('throttled'),
      malformed: failing('malformed'),
      malformedLocator: () => open('projects/shop/secrets/webdist-key'),
    },
    secrets: google.confidential,
  }));

  t.test('a text with a wrong checksum is not used', async (t) => {
    google.damage = true;
    const source = await open(name);
    await t.rejects(source.read(), { code: 'key_unreachable', message: /CRC32C/ });
    await source.close();
  });
});
