/**
 * Google Secret Manager: `gcpsecrets://projects/P/secrets/S/versions/V`. V is a number or `latest`.
 * Example: `gcpsecrets://projects/shop/secrets/webdist-key/versions/latest`.
 * Permission: the role roles/secretmanager.secretAccessor on the secret. See docs/keys/google-secret-manager.md.
 */

import type { protos } from '@google-cloud/secret-manager';
import { damaged, googleCallOptions, googleClientSettings, googleRefusal, matchesCrc32c } from '../cloud/google.ts';
import { refused, unreadable, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

type SecretVersion = protos.google.cloud.secretmanager.v1.IAccessSecretVersionResponse;

/** The one call of the SDK that is used. */
type SecretManager = {
  access(): Promise<SecretVersion>;
  close(): Promise<void>;
};

/** Opens a `gcpsecrets:` locator; each read resolves `latest`. Throws `config_invalid`. */
export async function openGoogleSecret(locator: string, env: Environment): Promise<SecretSource> {
  const name = parse(locator);
  const thing = `The Google Secret Manager secret ${name}`;
  const manager = await connect(name, env);
  return {
    backend: 'gcpsecrets',
    read: () => withRefusals(thing, googleRefusal, async () => textOf(thing, await manager.access())),
    close: () => manager.close(),
  };
}

function parse(locator: string): string {
  const name = /^gcpsecrets:\/\/(projects\/[^/]+\/secrets\/[^/]+\/versions\/[A-Za-z0-9_-]+)$/.exec(locator)?.[1];
  if (name === undefined)
    throw new WebdistError(
      'config_invalid',
      'A Google Secret Manager locator is gcpsecrets://projects/P/secrets/S/versions/V.',
    );
  return name;
}

async function connect(name: string, env: Environment): Promise<SecretManager> {
  const sdk = await loadSdk('@google-cloud/secret-manager', 'gcpsecrets', () => import('@google-cloud/secret-manager'));
  const override = env['CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER'];
  const client = new sdk.SecretManagerServiceClient(googleClientSettings(override));
  return {
    access: async () => (await client.accessSecretVersion({ name }, googleCallOptions))[0],
    close: () => client.close(),
  };
}

function textOf(thing: string, { payload }: SecretVersion): string {
  if (!payload) throw refused(thing, unreadable);
  const data = Buffer.from(payload.data ?? '');
  if (!matchesCrc32c(data, payload.dataCrc32c)) throw refused(thing, damaged);
  if (data.length === 0) throw refused(thing, { kind: 'absent', why: 'is empty.' });
  return data.toString('utf8');
}
