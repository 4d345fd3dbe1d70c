/**
 * Google Secret Manager: `gcpsecrets://projects/P/secrets/S/versions/V`, or with `/locations/L` after P for a regional
 * secret. V is a number or `latest`.
 * Example: `gcpsecrets://projects/shop/secrets/webdist-key/versions/latest`.
 * Permission: the role roles/secretmanager.secretAccessor on the secret. See docs/keys/google-secret-manager.md.
 */

import type { protos } from '@google-cloud/secret-manager';
import {
  damaged,
  googleCallOptions,
  googleClientSettings,
  googleRefusal,
  matchesCrc32c,
  prepareGoogleClient,
} from '../cloud/google.ts';
import { refused, unreadable, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import { decodeSecret } from '../cloud/text.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

type SecretVersion = protos.google.cloud.secretmanager.v1.IAccessSecretVersionResponse;

/** The one call of the SDK that is used. */
type SecretManager = {
  access(): Promise<SecretVersion>;
  close(): Promise<void>;
};

/**
 * Opens a `gcpsecrets:` locator. Each read resolves `latest` with a new client, because a client would keep using old
 * credentials after they were corrected. Throws `config_invalid`.
 */
export async function openGoogleSecret(locator: string, env: Environment): Promise<SecretSource> {
  const name = parse(locator);
  const thing = `The Google Secret Manager secret ${name}`;
  const connect = await loadClient(thing, name, env);
  return {
    backend: 'gcpsecrets',
    async read() {
      const manager = await connect();
      try {
        return await withRefusals(thing, googleRefusal, async () => textOf(thing, await manager.access()));
      } finally {
        await manager.close();
      }
    },
    async close() {
      // No client is open between reads.
    },
  };
}

function parse(locator: string): string {
  const name =
    /^gcpsecrets:\/\/(projects\/[^/]+\/(?:locations\/[a-z0-9-]+\/)?secrets\/[^/]+\/versions\/[A-Za-z0-9_-]+)$/.exec(
      locator,
    )?.[1];
  if (name === undefined)
    throw new WebdistError(
      'config_invalid',
      'A Google Secret Manager locator is gcpsecrets://projects/P/secrets/S/versions/V.',
    );
  return name;
}

async function loadClient(thing: string, name: string, env: Environment): Promise<() => Promise<SecretManager>> {
  const sdk = await loadSdk(
    '@google-cloud/secret-manager',
    'A locator gcpsecrets:',
    () => import('@google-cloud/secret-manager'),
  );
  const settings = googleClientSettings(env['CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER'], regionalEndpoint(name));
  return async () => {
    const client = new sdk.SecretManagerServiceClient(settings);
    await prepareGoogleClient(thing, client, env);
    return {
      access: async () => (await client.accessSecretVersion({ name }, googleCallOptions))[0],
      close: () => client.close(),
    };
  };
}

/** https://cloud.google.com/secret-manager/regional-secrets/create-regional-secret: each region has its own host. */
function regionalEndpoint(name: string): string | undefined {
  const region = /^projects\/[^/]+\/locations\/([^/]+)\//.exec(name)?.[1];
  return region && `https://secretmanager.${region}.rep.googleapis.com/`;
}

function textOf(thing: string, { payload }: SecretVersion): string {
  if (!payload) throw refused(thing, unreadable);
  const data = Buffer.from(payload.data ?? '');
  if (!matchesCrc32c(data, payload.dataCrc32c)) throw refused(thing, damaged);
  if (data.length === 0) throw refused(thing, { kind: 'absent', why: 'is empty.' });
  return decodeSecret(data);
}
