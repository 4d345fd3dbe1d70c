/**
 * AWS Secrets Manager: `awssecrets://NAME_OR_ARN[#FIELD]`. FIELD is a member of a secret that is a JSON object.
 * Examples: `awssecrets://webdist/distribution-key`, `awssecrets://webdist#distributionKey`.
 * Permission: secretsmanager:GetSecretValue. See docs/keys/aws-secrets-manager.md.
 */

import type { GetSecretValueCommandOutput } from '@aws-sdk/client-secrets-manager';
import { awsClientSettings, awsRefusal } from '../cloud/aws.ts';
import { refused, unreadable, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import { decodeSecret } from '../cloud/text.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** The one call of the SDK that is used. */
type SecretsManager = {
  value(secretId: string): Promise<GetSecretValueCommandOutput>;
  close(): void;
};

/**
 * Opens an `awssecrets:` locator. Each read fetches the current version (AWSCURRENT) with a new client, because a
 * client would keep using old credentials after they were corrected. Throws `config_invalid`.
 */
export async function openAwsSecret(locator: string, env: Environment): Promise<SecretSource> {
  const { secretId, field } = parse(locator);
  const thing = `The AWS Secrets Manager secret ${secretId}`;
  const connect = await loadClient(secretId, env);
  return {
    backend: 'awssecrets',
    async read() {
      const manager = connect();
      try {
        return await withRefusals(thing, awsRefusal, async () => textOf(thing, await manager.value(secretId), field));
      } finally {
        manager.close();
      }
    },
    async close() {
      // No client is open between reads.
    },
  };
}

function parse(locator: string): { secretId: string; field: string | undefined } {
  const [, secretId, field] = /^awssecrets:\/\/([A-Za-z0-9/_+=.@:!-]+)(?:#(.+))?$/.exec(locator) ?? [];
  if (secretId === undefined)
    throw new WebdistError('config_invalid', 'An AWS Secrets Manager locator is awssecrets://NAME_OR_ARN[#FIELD].');
  return { secretId, field };
}

async function loadClient(secretId: string, env: Environment): Promise<() => SecretsManager> {
  const sdk = await loadSdk(
    '@aws-sdk/client-secrets-manager',
    'A locator awssecrets:',
    () => import('@aws-sdk/client-secrets-manager'),
  );
  const settings = await awsClientSettings(secretId, env);
  return () => {
    const client = new sdk.SecretsManagerClient(settings);
    return {
      value: (SecretId) => client.send(new sdk.GetSecretValueCommand({ SecretId })),
      close: () => client.destroy(),
    };
  };
}

function textOf(thing: string, response: GetSecretValueCommandOutput, field: string | undefined): string {
  if (response.Name === undefined) throw refused(thing, unreadable);
  const text = response.SecretString ?? decodeSecret(Buffer.from(response.SecretBinary ?? []));
  if (text === '') throw refused(thing, { kind: 'absent', why: 'is empty.' });
  return field === undefined ? text : memberOf(thing, text, field);
}

function memberOf(thing: string, text: string, field: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A JSON syntax error quotes the text, which is the secret, so it is not kept as the cause.
    throw refused(thing, {
      kind: 'invalid',
      why: 'is not a JSON object.',
      hint: `Remove "#${field}" from the locator.`,
    });
  }
  const found =
    typeof value === 'object' && value !== null ? Object.entries(value).find(([name]) => name === field) : [];
  if (typeof found?.[1] !== 'string' || found[1] === '')
    throw refused(thing, {
      kind: 'absent',
      why: `has no text in the field "${field}".`,
      hint: 'Check the field name.',
    });
  return found[1];
}
