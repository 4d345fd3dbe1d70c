/**
 * AWS KMS: the contract against moto's server, and against AWS itself when AWS_TEST_KMS_LOCATOR names a P-256 key there
 * that the usual credentials can use.
 */

import { verify } from 'node:crypto';
import { CreateAliasCommand, CreateKeyCommand, type KeySpec, KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import t, { type Test } from 'tap';
import { spki } from '../../src/jws.ts';
import { openAwsKms } from '../../src/signer/aws-kms.ts';
import { startAws, withoutMoto } from '../harness/stand-ins/aws.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { setVariables, unset } from '../harness/stand-ins/variables.ts';
import { signerContract } from './contract.ts';

const open = (locator: string) => openAwsKms(locator, process.env);

t.test('AWS itself', { skip: unset('AWS_TEST_KMS_LOCATOR') }, (t) =>
  signerContract(t, async () => ({
    backend: 'awskms',
    named: /AWS KMS/,
    open: () => open(process.env['AWS_TEST_KMS_LOCATOR'] ?? ''),
    refusals: { absent: () => open('awskms:///alias/webdist-no-such-key'), malformedLocator: () => open('awskms://') },
    secrets: [process.env['AWS_SECRET_ACCESS_KEY'] ?? 'none'],
  })),
);

/** Starts moto and points the SDK at it. */
async function startKms(t: Test) {
  const aws = await startAws();
  t.teardown(() => aws[Symbol.asyncDispose]());
  setVariables(t, aws.variables);
  const client = new KMSClient();
  t.teardown(() => client.destroy());
  const newKey = async (KeySpec: KeySpec) => {
    const signs = KeySpec !== 'SYMMETRIC_DEFAULT';
    const request = new CreateKeyCommand({ KeySpec, KeyUsage: signs ? 'SIGN_VERIFY' : 'ENCRYPT_DECRYPT' });
    return (await client.send(request)).KeyMetadata?.KeyId ?? '';
  };
  return { aws, client, newKey };
}

t.test('moto', { skip: withoutMoto ?? false }, async (t) => {
  const { aws, client, newKey } = await startKms(t);
  const keyId = await newKey('ECC_NIST_P256');
  const failing = async (fault: Fault) => {
    aws.fault = fault;
    return open(`awskms:///${keyId}`).finally(() => {
      aws.fault = undefined;
    });
  };

  await signerContract(t, async () => ({
    backend: 'awskms',
    named: /AWS KMS/,
    open: () => open(`awskms:///${keyId}`),
    refusals: {
      absent: () => open('awskms:///00000000-0000-0000-0000-000000000000'),
      denied: () => failing('denied'),
      unreachable: () => open(`awskms://127.0.0.1:1/${keyId}`),
      throttled: () => failing('throttled'),
      wrongCurve: async () => open(`awskms:///${await newKey('ECC_SECG_P256K1')}`),
      malformed: () => failing('malformed'),
      malformedLocator: () => open('awskms://'),
    },
    fail: (fault) => {
      aws.fault = fault;
    },
    secrets: aws.confidential,
  }));

  t.test('a key of another kind is refused', async (t) => {
    for (const spec of ['RSA_2048', 'SYMMETRIC_DEFAULT'] as const)
      await t.rejects(open(`awskms:///${await newKey(spec)}`), { code: 'key_invalid' }, spec);
  });

  t.test('the region of an ARN takes precedence; an endpoint in the locator', async (t) => {
    const host = new URL(aws.variables['AWS_ENDPOINT_URL'] ?? '').host;
    const arn = `arn:aws:kms:eu-west-1:123456789012:key/${keyId}`;
    setVariables(t, { AWS_REGION: 'us-east-1' });
    await t.rejects(open(`awskms:///${keyId}`), { code: 'key_absent' }, 'the key is not in that region');
    for (const locator of [`awskms:///${arn}`, `awskms://${host}/${arn}`]) {
      const signer = await open(locator);
      t.equal((await signer.sign(Buffer.from('a'))).length, 64);
      await signer.close();
    }
  });

  t.test('an alias that is changed does not change an open signer', async (t) => {
    await client.send(new CreateAliasCommand({ AliasName: 'alias/webdist', TargetKeyId: keyId }));
    const before = await open('awskms:///alias/webdist');
    const TargetKeyId = await newKey('ECC_NIST_P256');
    await client.send(new UpdateAliasCommand({ AliasName: 'alias/webdist', TargetKeyId }));
    const after = await open('awskms:///alias/webdist');
    t.not(spki(after.publicKey), spki(before.publicKey));
    const signature = await before.sign(Buffer.from('a'));
    t.ok(verify('sha256', Buffer.from('a'), { key: before.publicKey, dsaEncoding: 'ieee-p1363' }, signature));
    await Promise.all([before.close(), after.close()]);
  });

  t.test('a key that is disabled or pending deletion stops signing', async (t) => {
    const signer = await open(`awskms:///${keyId}`);
    for (const [name, message, code] of [
      ['DisabledException', 'arn:aws:kms:… is disabled.', 'key_denied'],
      ['KMSInvalidStateException', 'arn:aws:kms:… is pending deletion.', 'key_absent'],
      ['KMSInvalidStateException', 'arn:aws:kms:… is unavailable.', 'key_unreachable'],
    ] as const) {
      aws.error = { name, message };
      await t.rejects(async () => signer.sign(Buffer.from('a')), { code }, message);
    }
    aws.error = undefined;
    await signer.close();
  });

  t.test('unknown credentials, and no credentials', async (t) => {
    setVariables(t, { AWS_ACCESS_KEY_ID: 'AKIAANOTHER000000000' });
    await t.rejects(open(`awskms:///${keyId}`), { code: 'key_denied', message: /credentials/ });
    setVariables(t, { AWS_EC2_METADATA_DISABLED: 'true', AWS_ACCESS_KEY_ID: '' });
    await t.rejects(open(`awskms:///${keyId}`), { code: 'key_unreachable', message: /no AWS credentials/ });
  });
});
