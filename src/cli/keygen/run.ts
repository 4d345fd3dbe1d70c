/**
 * `webdist keygen`: creates a distribution key. The private half is written to a file that no other user can read, or
 * it is created in a Vault, a KMS or an HSM, which it never leaves.
 */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { processEnvironment } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { fingerprint, publicKeyPem, spki } from '../../jws.ts';
import { createKey } from '../../locators.ts';
import { type JsonOption, print, say, withProgress } from '../terminal.ts';

const DEFAULT_FILE = 'distribution-key.pem';

type Options = JsonOption & { readonly out?: string; readonly in?: string };

export async function keygen({ out, in: locator, json }: Options): Promise<void> {
  if (out !== undefined && locator !== undefined)
    throw new WebdistError('usage_invalid', 'Use --out or --in, not both.');
  const made = locator === undefined ? await makeHere(out ?? DEFAULT_FILE) : await makeThere(locator);
  const data = { fingerprint: fingerprint(spki(made.publicKey)), publicKey: publicKeyPem(made.publicKey) };
  print({ ...data, ...made.place }, json, data.publicKey.trimEnd().split('\n'));
  say(`${made.words} Its public half is printed above.`);
  say(`Write down its fingerprint: ${data.fingerprint}`);
}

type Made = { readonly publicKey: KeyObject; readonly place: object; readonly words: string };

async function makeHere(file: string): Promise<Made> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  try {
    await writeFile(file, privateKey.export({ format: 'pem', type: 'pkcs8' }), { flag: 'wx', mode: 0o600 });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why = code === 'EEXIST' ? 'already exists and was not changed' : `cannot be written (${code})`;
    throw new WebdistError('state_invalid', `${file} ${why}.`, { hint: 'Choose another file with --out.', cause });
  }
  return {
    publicKey: createPublicKey(privateKey),
    place: { file },
    words: `The private key is in ${file}. Keep it: Apple has no copy.`,
  };
}

async function makeThere(wanted: string): Promise<Made> {
  const { locator, publicKey } = await withProgress('Making the key', () => createKey(wanted, processEnvironment()));
  return {
    publicKey,
    place: { locator },
    words: `The private key was created in its backend and stays there. Set WEBDIST_KEY=${withoutPin(locator)}`,
  };
}

/** A PKCS#11 URI may contain the PIN, which must not be printed. */
const withoutPin = (locator: string) => locator.replace(/([?&]pin-value=)[^&]*/, '$1…');
