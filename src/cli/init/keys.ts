/** The two private keys, which are read or created. */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Environment } from '../../environment.ts';
import { hasCode } from '../../errors.ts';
import { canonical } from '../../jws.ts';
import { CREATABLE_SCHEMES, createKey, openSecret, schemeOf } from '../../locators.ts';
import { readPrivateKey } from '../../signer/pem.ts';
import { withKey } from '../app-store-connect.ts';
import type { KeySetting } from './plan.ts';

/** A key that is copied into the folder `secrets` (`pem`), or one that stays in its backend. */
export type PlannedKey = {
  /** Undefined if several locators are given, or if the key is yet to be created. */
  readonly publicKey: KeyObject | undefined;
  readonly isNew: boolean;
  readonly pem?: string;
  readonly locators?: string;
  /** Creates the key in its backend; returns its locator. */
  readonly create?: () => Promise<string>;
};

/**
 * Plans the key with these locators. A key in a file or a variable goes into the folder `secrets`, so that the folder is
 * complete. A key that does not exist yet is created there, or later in its backend. Throws `key_*`, `config_invalid`.
 */
export async function planKey(locators: string, setting: KeySetting, env: Environment): Promise<PlannedKey> {
  if (/\s/.test(locators)) return { publicKey: undefined, isNew: false, locators };
  const scheme = schemeOf(locators) ?? '';
  if (scheme === 'file' || scheme === 'env') {
    const source = await openSecret(locators, env);
    try {
      return { ...held(readPrivateKey(await source.read()).key), isNew: false };
    } finally {
      await source.close();
    }
  }
  try {
    const publicKey = await withKey(locators, setting, async (signer) => signer.publicKey, env);
    return { publicKey, isNew: false, locators };
  } catch (error) {
    if (!hasCode(error, 'key_absent') || !CREATABLE_SCHEMES.includes(scheme)) throw error;
    const create = async () => (await createKey(locators, env)).locator;
    return { publicKey: undefined, isNew: true, locators, create };
  }
}

/** A new distribution key, for the folder `secrets`. */
export const newKey = (): PlannedKey => ({
  ...held(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
  isNew: true,
});

const held = (key: KeyObject) => ({
  publicKey: canonical(createPublicKey(key)),
  pem: key.export({ format: 'pem', type: 'pkcs8' }) as string,
});
