/**
 * AWS Secrets Manager: `awssecrets://NAME_OR_ARN[#FIELD]`, FIELD being a member of a secret that is a JSON object.
 * Examples: `awssecrets://webdist/distribution-key`, `awssecrets://webdist#distributionKey`.
 * Needed: secretsmanager:GetSecretValue. See docs/keys/aws-secrets-manager.md.
 */

import type { GetSecretValueCommandOutput } from '@aws-sdk/client-secrets-manager';
import { awsClientSettings, awsRefusal } from '../cloud/aws.ts';
import { refused, unreadable } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** The one operation used. */
type SecretsManager = {
  value(secretId: string): Promise<GetSecretValueCommandOutput>;
  close(): void;
};

/** Opens an `awssecrets:` locator; each reading asks for the current version (AWSCURRENT). Throws `config_invalid`. */
export async function openAwsSecret(locator: string, env: Environment): Promise<SecretSource> {
  const { secretId, field } = parse(locator);
  const thing = `The AWS Secrets Manager secret ${secretId}`;
  const manager = await connect(secretId, env);
  return {
    backend: 'awssecrets',
    async read() {
      try {
        return textOf(thing, await manager.value(secretId), field);
      } catch (cause) {
        throw cause instanceof WebdistError ? cause : refused(thing, awsRefusal(cause), cause);
      }
    },
    async close() {
      manager.close();
    },
  };
}

function parse(locator: string): { secretId: string; field: string | undefined } {
  const [, secretId, field] = /^awssecrets:\/\/([A-Za-z0-9/_+=.@:!-]+)(?:#(.+))?$/.exec(locator) ?? [];
  if (secretId === undefined)
    throw new WebdistError('config_invalid', 'An AWS Secrets Manager locator is awssecrets://NAME_OR_ARN[#FIELD].');
  return { secretId, field };
}

async function connect(secretId: string, env: Environment): Promise<SecretsManager> {
  const sdk = await loadSdk(
    '@aws-sdk/client-secrets-manager',
    'awssecrets',
    () => import('@aws-sdk/client-secrets-manager'),
  );
  const client = new sdk.SecretsManagerClient(awsClientSettings(secretId, env));
  return {
    value: (SecretId) => client.send(new sdk.GetSecretValueCommand({ SecretId })),
    close: () => client.destroy(),
  };
}

function textOf(thing: string, answer: GetSecretValueCommandOutput, field: string | undefined): string {
  if (answer.Name === undefined) throw refused(thing, unreadable);
  const text = answer.SecretString ?? Buffer.from(answer.SecretBinary ?? []).toString('utf8');
  if (text === '') throw refused(thing, { kind: 'absent', why: 'is empty.' });
  return field === undefined ? text : member(thing, text, field);
}

function member(thing: string, text: string, field: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The cause is dropped on purpose: a JSON syntax error quotes the text, which is the secret.
    throw refused(thing, { kind: 'invalid', why: 'is no JSON object.', hint: `Leave "#${field}" out of the locator.` });
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
