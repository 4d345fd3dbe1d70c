/**
 * Google Cloud KMS: the contract against a stand-in for its REST API, and against Google itself when
 * GOOGLE_TEST_KMS_LOCATOR names a P-256 key version there that Application Default Credentials may use.
 */

import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openGoogleKms } from '../../src/signer/google-kms.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { startGoogle } from '../harness/stand-ins/google.ts';
import { setVariables, unset } from '../harness/stand-ins/variables.ts';
import { signerContract } from './contract.ts';

const ring = 'projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys';
const newKey = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey;
const open = (name: string, env = process.env) => openGoogleKms(`gcpkms://${name}`, env);

t.test('Google itself', { skip: unset('GOOGLE_TEST_KMS_LOCATOR') }, (t) => {
  const name = process.env['GOOGLE_TEST_KMS_LOCATOR']?.replace('gcpkms://', '') ?? '';
  return signerContract(t, async () => ({
    backend: 'gcpkms',
    named: /Google Cloud KMS/,
    open: () => open(name),
    refusals: { absent: () => open(name.replace(/\d+$/, '999999')), malformedLocator: () => open('key') },
    secrets: ['BEGIN PRIVATE KEY'],
  }));
});

/** A stand-in for Google with one usable key; the SDKs of this process are pointed at it. */
async function startKms(t: Test) {
  const google = await startGoogle();
  t.teardown(() => google[Symbol.asyncDispose]());
  const folder = t.testdir({ 'account.json': JSON.stringify(google.credentials) });
  setVariables(t, google.variables(join(folder, 'account.json')));
  const name = `${ring}/distribution/cryptoKeyVersions/1`;
  google.keys.set(name, { privateKey: newKey('P-256'), algorithm: 'EC_SIGN_P256_SHA256' });
  return { google, name };
}

t.test('the stand-in', async (t) => {
  const { google, name } = await startKms(t);
  const failing = (fault: Fault) => {
    google.fault = fault;
    return open(name).finally(() => {
      google.fault = undefined;
    });
  };
  const k1 = `${ring}/bitcoin/cryptoKeyVersions/1`;
  google.keys.set(k1, { privateKey: newKey('secp256k1'), algorithm: 'EC_SIGN_SECP256K1_SHA256' });

  await signerContract(t, async () => ({
    backend: 'gcpkms',
    named: /Google Cloud KMS/,
    open: () => open(name),
    refusals: {
      absent: () => open(`${ring}/distribution/cryptoKeyVersions/2`),
      denied: () => failing('denied'),
      unreachable: () => open(name, { CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS: 'http://127.0.0.1:1/' }),
      throttled: () => failing('throttled'),
      wrongCurve: () => open(k1),
      malformed: () => failing('malformed'),
      malformedLocator: () => open(`${ring}/distribution`),
    },
    fail: (fault) => {
      google.fault = fault;
    },
    secrets: google.confidential,
  }));

  t.test('responses with a wrong checksum are not used', async (t) => {
    const signer = await open(name);
    google.damage = true;
    await t.rejects(async () => signer.sign(Buffer.from('a')), { code: 'key_unreachable', message: /CRC32C/ });
    await t.rejects(open(name), { code: 'key_unreachable', message: /CRC32C/ });
    google.damage = false;
    t.equal((await signer.sign(Buffer.from('a'))).length, 64);
    await signer.close();
  });

  t.test('a version that is disabled stops signing', async (t) => {
    const key = { privateKey: newKey('P-256'), algorithm: 'EC_SIGN_P256_SHA256', enabled: true } as const;
    const other = `${ring}/other/cryptoKeyVersions/1`;
    google.keys.set(other, key);
    const signer = await open(other);
    google.keys.set(other, { ...key, enabled: false });
    await t.rejects(async () => signer.sign(Buffer.from('a')), {
      code: 'key_absent',
      message: /disabled or destroyed/,
    });
    await t.rejects(open(other), { code: 'key_absent' });
    await signer.close();
  });

  t.test('credentials that Google does not know', async (t) => {
    const another = await startGoogle();
    t.teardown(() => another[Symbol.asyncDispose]());
    const folder = t.testdir({ 'other.json': JSON.stringify(another.credentials) });
    setVariables(t, { GOOGLE_APPLICATION_CREDENTIALS: join(folder, 'other.json') });
    await t.rejects(open(name), { code: 'key_denied', message: /credentials/ });
  });

  t.test('http to another machine is refused', async (t) => {
    for (const override of ['http://kms.example/', 'kms.example', 'https://kms.example/v1'])
      await t.rejects(open(name, { CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS: override }), { code: 'config_invalid' });
  });
});
