/**
 * Azure Key Vault secrets: the contract against a stand-in for its REST API, and against Azure itself when
 * AZURE_TEST_SECRET_LOCATOR names a secret there that DefaultAzureCredential can read, and AZURE_TEST_SECRET_TEXT is
 * its text.
 */

import t from 'tap';
import { openAzureSecret } from '../../src/secrets/azure.ts';
import { startAzure, withoutOpenssl } from '../harness/stand-ins/azure.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { setVariables, unset } from '../harness/stand-ins/variables.ts';
import { secretsContract } from './contract.ts';

const open = (locator: string) => openAzureSecret(locator, process.env);

t.test('Azure itself', { skip: unset('AZURE_TEST_SECRET_LOCATOR') }, (t) => {
  const locator = process.env['AZURE_TEST_SECRET_LOCATOR'] ?? '';
  return secretsContract(t, async () => ({
    backend: 'azuresecrets',
    named: /Azure Key Vault/,
    open: () => open(locator),
    text: process.env['AZURE_TEST_SECRET_TEXT'] ?? '',
    failures: { absent: () => open(`${locator}-absent`), malformedLocator: () => open('azuresecrets://vault') },
    secrets: [process.env['AZURE_CLIENT_SECRET'] ?? 'none'],
  }));
});

t.test('the stand-in', { skip: withoutOpenssl ?? false }, async (t) => {
  const azure = await startAzure();
  t.teardown(() => azure[Symbol.asyncDispose]());
  setVariables(t, azure.variables);
  const text = '-----BEGIN PRIVATE KEY-----\nin the secret\n-----END PRIVATE KEY-----\n';
  azure.secrets.set('webdist-key', text);
  azure.secrets.set('nothing', '');
  const locator = `azuresecrets://${azure.vault}/webdist-key`;

  const failing = (fault: Fault) => async () => {
    const source = await open(locator);
    const read = async () => {
      azure.fault = fault;
      return source.read().finally(() => {
        azure.fault = undefined;
      });
    };
    return { ...source, read };
  };

  await secretsContract(t, async () => ({
    backend: 'azuresecrets',
    named: /Azure Key Vault/,
    open: () => open(locator),
    text,
    change: (changed) => {
      azure.secrets.set('webdist-key', changed);
    },
    failures: {
      absent: () => open(`azuresecrets://${azure.vault}/absent`),
      empty: () => open(`azuresecrets://${azure.vault}/nothing`),
      denied: failing('denied'),
      unreachable: failing('dropped'),
      throttled: failing('throttled'),
      malformed: failing('malformed'),
      malformedLocator: () => open('azuresecrets://vault'),
    },
    secrets: azure.confidential,
  }));
});
