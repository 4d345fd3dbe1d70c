/**
 * Where `token verify` gets public keys: a file, a JWK set, App Store Connect, else what the data folder remembers;
 * and what else is known that explains a refusal.
 */

import { createPublicKey, type webcrypto } from 'node:crypto';
import ky from 'ky';
import { z } from 'zod';
import { apiKeySettings, knownAppSettings, only, processSettings } from '../../config/config.ts';
import { isWebdistError, WebdistError } from '../../errors.ts';
import type { Known, KnownKey } from '../../install-token/verify/checks.ts';
import { fromSpki, isP256, readPublicKey } from '../../jws.ts';
import { openFileMemory } from '../../registration/store.ts';
import { openLocalSigner } from '../../signer/local.ts';
import { withAppStoreConnect, withKey } from '../apple.ts';
import { readTextFile } from '../input.ts';

type Places = { readonly key?: string | undefined; readonly jwks?: string | undefined };

/** `notes` say which place was passed over, and why. Throws `usage_invalid`, `config_invalid`, `key_*`. */
export async function knownForToken({ key, jwks }: Places): Promise<Omit<Known, 'nowSeconds'> & { notes: string[] }> {
  const { apps } = knownAppSettings(processSettings());
  const notes: string[] = [];
  if (key !== undefined && jwks !== undefined)
    throw new WebdistError('usage_invalid', '--key and --jwks exclude each other.', { hint: 'Leave one.' });
  if (key !== undefined) return { apps, notes, keys: [await keyOfFile(key)] };
  if (jwks !== undefined) return { apps, notes, keys: await keysOfJwks(jwks) };
  const { keyId, privateKey } = apiKeySettings(processSettings());
  if (keyId !== undefined && privateKey !== undefined) {
    try {
      const { keys, publicKey } = await registered();
      return { apps, notes, keys, apiKey: { keyId, publicKey } };
    } catch (error) {
      if (!isWebdistError(error)) throw error;
      notes.push(`App Store Connect was not asked: ${error.message}`);
    }
  }
  const keys = await remembered();
  if (keys.length === 0)
    throw new WebdistError('usage_invalid', 'There is no public key to verify with.', {
      hint: 'Give --key FILE or --jwks URL, or set ASC_KEY_ID, ASC_ISSUER_ID and ASC_PRIVATE_KEY.',
    });
  notes.push('The public keys are those the data folder remembers.');
  return { apps, notes, keys, ...(keyId !== undefined && { apiKey: { keyId } }) };
}

async function registered() {
  return withAppStoreConnect('Asking for keys', async (asc, { privateKey }) => {
    const keys = (await asc.listKeys()).flatMap(({ id, publicKey }): KnownKey[] =>
      publicKey ? [{ keyId: id, publicKey, source: 'App Store Connect' }] : [],
    );
    const publicKey = await withKey(privateKey, 'ASC_PRIVATE_KEY', async (signer) => signer.publicKey);
    return { keys, publicKey };
  });
}

async function remembered(): Promise<KnownKey[]> {
  const { WEBDIST_DATA_DIR: dataDir } = only(['WEBDIST_DATA_DIR'], processSettings());
  const keys = await openFileMemory(dataDir).load();
  return Object.values(keys).map(({ keyId, spki }) => ({
    keyId,
    publicKey: fromSpki(spki),
    source: `the memory in ${dataDir}`,
  }));
}

async function keyOfFile(path: string): Promise<KnownKey> {
  const pem = await readTextFile(path);
  const publicKey = pem.includes('PRIVATE KEY') ? openLocalSigner(pem, 'file').signer.publicKey : readPublicKey(pem);
  return { publicKey, source: `the file ${path}` };
}

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().optional() })) });

async function keysOfJwks(url: string): Promise<KnownKey[]> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new WebdistError('usage_invalid', `"${url}" is not the address of a JWK set.`, {
      hint: 'Give an address such as https://example.com/.well-known/jwks.json.',
    });
  try {
    const { keys } = keySet.parse(await ky(url, { timeout: 10_000, retry: 1 }).json());
    return keys.flatMap((jwk) => {
      if (jwk.kty !== 'EC') return [];
      const publicKey = createPublicKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' });
      return isP256(publicKey) ? [{ keyId: jwk.kid, publicKey, source: url }] : [];
    });
  } catch (cause) {
    throw new WebdistError('key_unreachable', `The JWK set at ${url} cannot be had.`, {
      hint: 'Check the address; a webdist server has it at /.well-known/jwks.json.',
      cause,
    });
  }
}
