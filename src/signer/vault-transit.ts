/**
 * Vault and OpenBao Transit: `hashivault://KEY[?mount=transit][&version=N]`. Example: `hashivault://camping`.
 * The key's type is ecdsa-p256. Permissions: `read` on MOUNT/keys/KEY and `update` on MOUNT/sign/KEY/sha2-256.
 * See docs/keys/vault-transit.md.
 */

import { hash, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { batchPerTick } from '../batch.ts';
import { refused } from '../cloud/refusal.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { type AutoRotation, readPublicKey, type Signer, spki } from '../jws.ts';
import { openVault, type Vault } from '../vault/vault.ts';
import { derToRaw } from './der.ts';

/** The response to GET MOUNT/keys/KEY. The versions of a symmetric key are numbers. */
const keyForm = z.object({
  data: z.object({
    type: z.string(),
    latest_version: z.number(),
    min_encryption_version: z.number().default(0),
    /** Seconds; 0: never. Absent in older servers. */
    auto_rotate_period: z.number().default(0),
    keys: z.record(z.string(), z.unknown()),
  }),
});
type Key = z.infer<typeof keyForm>['data'];

const versionForm = z.object({ public_key: z.string() });
/** The response to POST MOUNT/sign/KEY; an item that could not be signed has an `error` instead. */
const signaturesForm = z.object({
  data: z.object({ batch_results: z.array(z.object({ signature: z.string().optional() })) }),
});

type Version = { readonly number: number; readonly publicKey: KeyObject };
type Place = { readonly mount: string; readonly key: string; readonly version: number | undefined };

/**
 * Opens a `hashivault:` locator, and pins one version of the key. It is the version in the locator, or else the version
 * whose public half is `registered`, or else the newest version. Throws `config_invalid`, `key_absent`, `key_denied`,
 * `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
 */
export async function openVaultTransit(locator: string, env: Environment, registered?: KeyObject): Promise<Signer> {
  const place = parse(locator);
  const thing = `The Vault Transit key ${place.mount}/${place.key}`;
  const vault = await openVault(env);
  try {
    const path = `${place.mount}/keys/${encodeURIComponent(place.key)}`;
    const { data } = await vault.call(thing, { method: 'GET', path }, keyForm);
    return {
      ...signerOf(vault, thing, place, choose(thing, place, data, registered)),
      autoRotation: place.version === undefined ? autoRotationOf(place, data) : undefined,
    };
  } catch (cause) {
    vault.close();
    throw cause;
  }
}

/**
 * Creates a key of the type ecdsa-p256 that never leaves Vault (`exportable` stays false). Further permissions: `update`
 * and `create` on MOUNT/keys/KEY. Throws what opening throws.
 */
export async function createVaultTransit(locator: string, env: Environment): Promise<string> {
  const { mount, key, version } = parse(locator);
  if (version !== undefined)
    throw new WebdistError('config_invalid', 'The first version of a new key is 1.', {
      hint: 'Remove version= from the locator.',
    });
  const vault = await openVault(env);
  try {
    const path = `${mount}/keys/${encodeURIComponent(key)}`;
    const request = { method: 'POST', path, body: { type: 'ecdsa-p256' } } as const;
    await vault.call(`The Vault Transit key ${mount}/${key}`, request, z.unknown());
    return locator;
  } finally {
    vault.close();
  }
}

function signerOf(vault: Vault, thing: string, { mount, key }: Place, { number, publicKey }: Version): Signer {
  const path = `${mount}/sign/${encodeURIComponent(key)}/sha2-256`;
  /** Vault signs many digests in one call, and returns the signatures in the same order. */
  const signDigest = batchPerTick(async (digests: readonly string[]) => {
    const body = {
      batch_input: digests.map((input) => ({ input })),
      prehashed: true,
      marshaling_algorithm: 'jws',
      key_version: number,
    };
    const { data } = await vault.call(thing, { method: 'POST', path, body }, signaturesForm);
    if (data.batch_results.length === digests.length) return data.batch_results;
    throw refused(thing, { kind: 'unreachable', why: 'returned a different number of signatures than requested.' });
  });
  return {
    backend: 'hashivault',
    publicKey,
    async sign(data) {
      const { signature } = await signDigest(hash('sha256', data, 'base64'));
      if (signature === undefined) throw refused(thing, { kind: 'unreachable', why: 'did not sign.' });
      return rawSignature(thing, signature);
    },
    async close() {
      vault.close();
    },
  };
}

/** https://developer.hashicorp.com/vault/api-docs/secret/transit#auto_rotate_period */
const autoRotationOf = ({ mount, key }: Place, { auto_rotate_period: seconds }: Key): AutoRotation | undefined =>
  seconds === 0
    ? undefined
    : {
        found: `gets a new version from Vault every ${seconds / 3600} h (auto_rotate_period)`,
        hint: `Turn that off: \`vault write ${mount}/keys/${key}/config auto_rotate_period=0\`.`,
      };

function parse(locator: string): Place {
  const [, key, query] = /^hashivault:\/\/([A-Za-z0-9_.-]+)(?:\?(.*))?$/.exec(locator) ?? [];
  const { mount = 'transit', version, ...others } = Object.fromEntries(new URLSearchParams(query));
  const isMount = /^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/.test(mount) && !/(^|\/)\.\.?(\/|$)/.test(mount);
  const isVersion = version === undefined || /^[1-9]\d{0,8}$/.test(version);
  if (!key || /^\.\.?$/.test(key) || !isMount || !isVersion || Object.keys(others).length > 0)
    throw new WebdistError(
      'config_invalid',
      'A Vault Transit locator is hashivault://KEY[?mount=transit][&version=N].',
    );
  return { key, mount, version: version === undefined ? undefined : Number(version) };
}

function choose(thing: string, place: Place, key: Key, registered: KeyObject | undefined): Version {
  if (key.type !== 'ecdsa-p256')
    throw refused(thing, {
      kind: 'invalid',
      why: 'has another type.',
      hint: 'Use a key of the type ecdsa-p256.',
    });
  const versions = Object.entries(key.keys)
    .map(([number, version]) => ({ number: Number(number), publicKey: publicHalf(thing, version) }))
    // Vault keeps older versions only to verify signatures.
    .filter(({ number }) => number >= key.min_encryption_version);
  const same = (version: Version) => registered !== undefined && spki(version.publicKey) === spki(registered);
  const numbered = (wanted: number) => versions.find(({ number }) => number === wanted);
  const chosen =
    place.version === undefined ? (versions.find(same) ?? numbered(key.latest_version)) : numbered(place.version);
  if (!chosen)
    throw refused(thing, {
      kind: 'absent',
      why: `has no version ${place.version ?? key.latest_version} that may sign.`,
      hint: 'Check the version in the locator, and min_encryption_version and min_decryption_version of the key.',
    });
  return chosen;
}

function publicHalf(thing: string, version: unknown): KeyObject {
  try {
    return readPublicKey(versionForm.parse(version).public_key);
  } catch (cause) {
    throw refused(thing, { kind: 'invalid', why: 'has a public half that cannot be parsed.' }, cause);
  }
}

/** `vault:v1:` and base64. It encodes r‖s as requested, or DER if the server does not know `marshaling_algorithm`. */
function rawSignature(thing: string, signature: string): Uint8Array {
  const base64 = /^vault:v\d+:([A-Za-z0-9+/_=-]+)$/.exec(signature)?.[1];
  if (base64 === undefined)
    throw refused(thing, { kind: 'unreachable', why: 'returned a signature that cannot be parsed.' });
  const bytes = Buffer.from(base64, 'base64');
  return bytes.length === 64 ? bytes : derToRaw(bytes, 'hashivault');
}
