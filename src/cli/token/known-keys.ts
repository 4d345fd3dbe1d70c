/**
 * Collects the public keys for `token verify` (from a file, a JWK set, App Store Connect or the data folder), and other
 * facts that explain a refusal.
 */

import { createPublicKey, type webcrypto } from 'node:crypto';
import { z } from 'zod';
import type { AppConfig } from '../../config/apps.ts';
import { apiKeySettings, knownAppSettings, only, processSettings } from '../../config/config.ts';
import { isWebdistError, WebdistError } from '../../errors.ts';
import type { Known, KnownApp, KnownKey } from '../../install-token/verify/checks.ts';
import { fromSpki, isP256, readPublicKey } from '../../jws.ts';
import { readUrl } from '../../outbound.ts';
import { manifestUrlOf, readManifestText, readSummary } from '../../packages/manifest.ts';
import { openFileRegistrationStore } from '../../registration/store-file.ts';
import { openLocalSigner } from '../../signer/local.ts';
import { withAppStoreConnect, withKey } from '../app-store-connect.ts';
import { readTextFile } from '../input.ts';

type KeyOptions = { readonly key?: string | undefined; readonly jwks?: string | undefined };

/** `notes` tell the user which source was not used, and why. Throws `usage_invalid`, `config_invalid`, `key_*`. */
export async function knownForToken({
  key,
  jwks,
}: KeyOptions): Promise<Omit<Known, 'nowSeconds'> & { notes: string[] }> {
  const notes: string[] = [];
  const apps = await withVersions(knownAppSettings(processSettings()).apps, notes);
  if (key !== undefined && jwks !== undefined)
    throw new WebdistError('usage_invalid', 'Use --key or --jwks, not both.');
  if (key !== undefined) return { apps, notes, keys: [await keyOfFile(key)] };
  if (jwks !== undefined) return { apps, notes, keys: await keysOfJwks(jwks) };
  const { keyId, privateKey } = apiKeySettings(processSettings());
  if (keyId !== undefined && privateKey !== undefined) {
    try {
      const { keys, publicKey } = await registered(apps);
      return { apps, notes, keys, apiKey: { keyId, publicKey } };
    } catch (error) {
      if (!isWebdistError(error)) throw error;
      notes.push(`App Store Connect was not used: ${error.message}`);
    }
  }
  const keys = await storedKeys();
  if (keys.length === 0)
    throw new WebdistError('usage_invalid', 'There is no public key to verify with.', {
      hint: 'Use --key FILE or --jwks URL, or set ASC_KEY_ID, ASC_ISSUER_ID and ASC_PRIVATE_KEY.',
    });
  notes.push('The public keys are from the data folder.');
  return { apps, notes, keys, ...(keyId !== undefined && { apiKey: { keyId } }) };
}

/** The apps with the versions in the manifests of their packages, which `vid` is compared with. */
function withVersions(apps: readonly AppConfig[], notes: string[]): Promise<KnownApp[]> {
  return Promise.all(
    apps.map(async (app) => {
      const { appleItemId, bundleId } = app;
      const url = manifestUrlOf(app);
      if (url === undefined) return { appleItemId, bundleId };
      try {
        const { appleVersionId } = readSummary(await readManifestText(url), app);
        return { appleItemId, bundleId, appleVersionIds: [appleVersionId] };
      } catch {
        notes.push(`vid was not compared: the manifest of ${bundleId} at ${url} cannot be read.`);
        return { appleItemId, bundleId };
      }
    }),
  );
}

async function registered(apps: readonly KnownApp[]) {
  return withAppStoreConnect('Fetching the keys', async (asc, { privateKey, privateKeyVariable }) => {
    const [ofAll, ofApps, keyOfApp] = await Promise.all([
      asc.listKeys({ app: false }),
      asc.listKeys({ app: true }),
      Promise.all(apps.map(async ({ appleItemId }) => [appleItemId, (await asc.appKey(appleItemId))?.id] as const)),
    ]);
    const appsOf = (keyId: string) => keyOfApp.filter(([, id]) => id === keyId).map(([appleItemId]) => appleItemId);
    const known = ({ id, publicKey }: (typeof ofAll)[number], registeredFor: KnownKey['apps']): KnownKey[] =>
      publicKey ? [{ keyId: id, publicKey, source: 'App Store Connect', apps: registeredFor }] : [];
    const keys = [...ofAll.flatMap((key) => known(key, 'all')), ...ofApps.flatMap((key) => known(key, appsOf(key.id)))];
    const publicKey = await withKey(privateKey, privateKeyVariable, async (signer) => signer.publicKey);
    return { keys, publicKey };
  });
}

async function storedKeys(): Promise<KnownKey[]> {
  const { WEBDIST_DATA_DIR: dataDir } = only(['WEBDIST_DATA_DIR'], processSettings());
  const keys = await openFileRegistrationStore(dataDir).load();
  return Object.values(keys).map(({ keyId, spki }) => ({
    keyId,
    publicKey: fromSpki(spki),
    source: `the data folder ${dataDir}`,
  }));
}

async function keyOfFile(path: string): Promise<KnownKey> {
  const pem = await readTextFile(path);
  const publicKey = pem.includes('PRIVATE KEY') ? openLocalSigner(pem, 'file').signer.publicKey : readPublicKey(pem);
  return { publicKey, source: `the file ${path}` };
}

const JWKS_BOUNDS = { maxBytes: 1024 * 1024, timeoutMs: 10_000 };
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().optional() })) });

async function keysOfJwks(url: string): Promise<KnownKey[]> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new WebdistError('usage_invalid', `"${url}" is not the URL of a JWK set.`, {
      hint: 'Use a URL such as https://example.com/.well-known/jwks.json.',
    });
  try {
    const { keys } = keySet.parse(JSON.parse((await readUrl(url, JWKS_BOUNDS)).bytes.toString('utf8')));
    return keys.flatMap((jwk) => {
      if (jwk.kty !== 'EC') return [];
      const publicKey = createPublicKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' });
      return isP256(publicKey) ? [{ keyId: jwk.kid, publicKey, source: url }] : [];
    });
  } catch (cause) {
    throw new WebdistError('key_unreachable', `The JWK set at ${url} cannot be fetched.`, {
      hint: 'Check the URL. A webdist server serves it at /.well-known/jwks.json.',
      cause,
    });
  }
}
