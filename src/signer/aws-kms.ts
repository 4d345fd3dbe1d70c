/**
 * AWS KMS: `awskms:///KEY_ID_OR_ARN` or `awskms://HOST/KEY_ID`. HOST is another endpoint, such as a VPC endpoint.
 * Examples: `awskms:///alias/webdist`, `awskms:///arn:aws:kms:eu-west-1:111122223333:key/1234abcd-…`.
 * The key's spec is ECC_NIST_P256 and its usage SIGN_VERIFY. Permissions: kms:GetPublicKey and kms:Sign.
 * See docs/keys/aws-kms.md.
 */

import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import type { GetPublicKeyCommandOutput, SignCommandOutput } from '@aws-sdk/client-kms';
import { awsClientSettings, awsRefusal } from '../cloud/aws.ts';
import { refused, unreadable, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { isLoopback } from '../host.ts';
import { canonical, isP256, type Signer } from '../jws.ts';
import { derToRaw } from './der.ts';

/** The calls of the SDK that are used. */
type Kms = {
  publicKey(keyId: string): Promise<GetPublicKeyCommandOutput>;
  sign(keyId: string, digest: Uint8Array): Promise<SignCommandOutput>;
  /** Returns the new key's ARN. */
  create(): Promise<string>;
  name(alias: string, keyId: string): Promise<unknown>;
  close(): void;
};

/**
 * Opens an `awskms:` locator. An alias is resolved once, so the signer keeps the key that it named at that time. Throws
 * `config_invalid`, `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, throttled, `signer_unavailable`.
 */
export async function openAwsKms(locator: string, env: Environment): Promise<Signer> {
  const { keyId, thing, endpoint } = parse(locator);
  const kms = await connect(keyId, endpoint, env);
  try {
    const response = await withRefusals(thing, awsRefusal, () => kms.publicKey(keyId));
    return signerOf(kms, thing, response.KeyId ?? keyId, publicHalf(thing, response));
  } catch (error) {
    kms.close();
    throw error;
  }
}

/**
 * Creates a key and gives it the alias in the locator, `awskms:///alias/NAME`, because AWS chooses the ids. Further
 * permissions: kms:CreateKey and kms:CreateAlias. Throws what opening throws.
 */
export async function createAwsKms(locator: string, env: Environment): Promise<string> {
  const { keyId: alias, thing, endpoint } = parse(locator);
  if (!alias.startsWith('alias/'))
    throw new WebdistError('config_invalid', 'AWS KMS chooses the id of a new key.', {
      hint: 'Give it an alias: awskms:///alias/NAME.',
    });
  const kms = await connect(alias, endpoint, env);
  try {
    await withRefusals(thing, awsRefusal, async () => kms.name(alias, await kms.create()));
    return locator;
  } finally {
    kms.close();
  }
}

function signerOf(kms: Kms, thing: string, keyId: string, publicKey: KeyObject): Signer {
  return {
    backend: 'awskms',
    publicKey,
    sign: (data) =>
      withRefusals(thing, awsRefusal, async () => {
        const { Signature } = await kms.sign(keyId, hash('sha256', data, 'buffer'));
        return derToRaw(Signature ?? new Uint8Array(), thing);
      }),
    async close() {
      kms.close();
    },
  };
}

function parse(locator: string): { keyId: string; thing: string; endpoint: string | undefined } {
  const [, host, keyId] =
    /^awskms:\/\/((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?|)\/([A-Za-z0-9:/_-]+)$/.exec(locator) ?? [];
  if (host === undefined || keyId === undefined)
    throw new WebdistError('config_invalid', 'An AWS KMS locator is awskms:///KEY_ID_OR_ARN or awskms://HOST/KEY_ID.');
  const endpoint = host === '' ? undefined : `${isLoopback(host.replace(/:\d+$/, '')) ? 'http' : 'https'}://${host}`;
  return { keyId, thing: `The AWS KMS key ${keyId}`, endpoint };
}

async function connect(keyId: string, endpoint: string | undefined, env: Environment): Promise<Kms> {
  const sdk = await loadSdk('@aws-sdk/client-kms', 'A locator awskms:', () => import('@aws-sdk/client-kms'));
  const client = new sdk.KMSClient({
    ...(await awsClientSettings(keyId, env)),
    ...(endpoint !== undefined && { endpoint }),
  });
  return {
    publicKey: (KeyId) => client.send(new sdk.GetPublicKeyCommand({ KeyId })),
    sign: (KeyId, Message) =>
      client.send(new sdk.SignCommand({ KeyId, Message, MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' })),
    async create() {
      const { KeyMetadata } = await client.send(
        new sdk.CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY', Description: 'webdist' }),
      );
      return KeyMetadata?.Arn ?? '';
    },
    name: (AliasName, TargetKeyId) => client.send(new sdk.CreateAliasCommand({ AliasName, TargetKeyId })),
    close: () => client.destroy(),
  };
}

function publicHalf(thing: string, { PublicKey, KeyUsage }: GetPublicKeyCommandOutput): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(PublicKey ?? []), format: 'der', type: 'spki' });
  } catch (cause) {
    throw refused(thing, unreadable, cause);
  }
  if (!isP256(key) || KeyUsage !== 'SIGN_VERIFY')
    throw refused(thing, {
      kind: 'invalid',
      hint: 'Use a key with the spec ECC_NIST_P256 and the usage SIGN_VERIFY.',
    });
  return canonical(key);
}
