/**
 * AWS Secrets Manager: the contract against moto's server, and against AWS itself when AWS_TEST_SECRET_LOCATOR names a
 * secret there that the usual credentials can read, and AWS_TEST_SECRET_TEXT is its text.
 */

import {
  CreateSecretCommand,
  DeleteSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import t from 'tap';
import { openAwsSecret } from '../../src/secrets/aws.ts';
import { startAws, withoutMoto } from '../harness/stand-ins/aws.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { setVariables, unset } from '../harness/stand-ins/variables.ts';
import { secretsContract } from './contract.ts';

const open = (locator: string) => openAwsSecret(locator, process.env);

t.test('AWS itself', { skip: unset('AWS_TEST_SECRET_LOCATOR') }, (t) =>
  secretsContract(t, async () => ({
    backend: 'awssecrets',
    named: /AWS Secrets Manager/,
    open: () => open(process.env['AWS_TEST_SECRET_LOCATOR'] ?? ''),
    text: process.env['AWS_TEST_SECRET_TEXT'] ?? '',
    failures: {
      absent: () => open('awssecrets://webdist/no-such-secret'),
      malformedLocator: () => open('awssecrets://'),
    },
    secrets: [process.env['AWS_SECRET_ACCESS_KEY'] ?? 'none'],
  })),
);

t.test('moto', { skip: withoutMoto ?? false }, async (t) => {
  const aws = await startAws();
  t.teardown(() => aws[Symbol.asyncDispose]());
  setVariables(t, aws.variables);
  const client = new SecretsManagerClient();
  t.teardown(() => client.destroy());
  const text = '-----BEGIN PRIVATE KEY-----\nin the secret\n-----END PRIVATE KEY-----\n';
  const put = async (Name: string, secret: { SecretString?: string; SecretBinary?: Uint8Array }) =>
    (await client.send(new CreateSecretCommand({ Name, ...secret }))).ARN ?? '';
  const arn = await put('webdist/key', { SecretString: text });
  await put('webdist', { SecretString: JSON.stringify({ distributionKey: text, number: 1, none: '' }) });
  await put('binary', { SecretBinary: Buffer.from(text) });

  const failing = (fault: Fault) => async () => {
    const source = await open('awssecrets://webdist/key');
    const read = async () => {
      aws.fault = fault;
      return source.read().finally(() => {
        aws.fault = undefined;
      });
    };
    return { ...source, read };
  };

  await secretsContract(t, async () => ({
    backend: 'awssecrets',
    named: /AWS Secrets Manager/,
    open: () => open('awssecrets://webdist/key'),
    text,
    change: async (SecretString) => {
      await client.send(new PutSecretValueCommand({ SecretId: 'webdist/key', SecretString }));
    },
    failures: {
      absent: () => open('awssecrets://absent'),
      noField: () => open('awssecrets://webdist#absent'),
      empty: () => open('awssecrets://webdist#none'),
      denied: failing('denied'),
      unreachable: failing('dropped'),
      throttled: failing('throttled'),
      malformed: failing('malformed'),
      malformedLocator: () => open('awssecrets://'),
    },
    secrets: aws.confidential,
  }));

  t.test('by ARN, by field, and as bytes', async (t) => {
    for (const locator of [`awssecrets://${arn}`, 'awssecrets://webdist#distributionKey', 'awssecrets://binary']) {
      const source = await open(locator);
      t.equal(await source.read(), text, locator);
      await source.close();
    }
  });

  t.test('a field of anything but a JSON object of texts', async (t) => {
    const read = async (locator: string) => (await open(locator)).read();
    await t.rejects(read('awssecrets://webdist/key#field'), { code: 'key_invalid', message: /not a JSON object/ });
    await t.rejects(read('awssecrets://webdist#number'), { code: 'key_absent' });
    await t.rejects(read('awssecrets://webdist#__proto__'), { code: 'key_absent' });
  });

  t.test('a secret that is scheduled for deletion is absent', async (t) => {
    await put('leaving', { SecretString: text });
    const source = await open('awssecrets://leaving');
    await client.send(new DeleteSecretCommand({ SecretId: 'leaving' }));
    await t.rejects(source.read(), { code: 'key_absent' });
    await source.close();
  });
});
