/**
 * Cryptography without threads and without waste: WebCrypto answers at once, so that no event waits for a thread, and work whose
 * result only depends on its input is done once in a process. The results are the real ones.
 */

import nodeCrypto, { KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';
import { bytesOf, randomOf } from './random.ts';
import { callThread } from './scheduler.ts';

const require = createRequire(import.meta.url);

/** The length of the tag at the end of what AES-GCM encrypts. */
const TAG_BYTES = 16;

type Gcm = { readonly iv: Uint8Array; readonly additionalData: Uint8Array };
type Call = (algorithm: never, key: KeyObject, ...data: Uint8Array[]) => Uint8Array | boolean;

/** The calls that `jose` makes often, by name and algorithm. The keys have 256 bits. */
const immediate: Readonly<Record<string, Call>> = {
  'encrypt AES-GCM': ({ iv, additionalData }: Gcm, key, data = new Uint8Array()) => {
    const cipher = nodeCrypto.createCipheriv('aes-256-gcm', key, iv).setAAD(additionalData);
    return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
  },
  'decrypt AES-GCM': ({ iv, additionalData }: Gcm, key, data = new Uint8Array()) => {
    const decipher = nodeCrypto.createDecipheriv('aes-256-gcm', key, iv).setAAD(additionalData);
    decipher.setAuthTag(data.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(data.subarray(0, -TAG_BYTES)), decipher.final()]);
  },
  'verify ECDSA': ({ hash }: { hash: string }, key, signature = new Uint8Array(), data = new Uint8Array()) =>
    nodeCrypto.verify(hash.replace('-', ''), data, { key, dsaEncoding: 'ieee-p1363' }, signature),
};

/** Makes the calls above, and lets the pool of threads make all others. */
export function installWebCrypto(): void {
  /** The key that each CryptoKey was made from. */
  const keys = new WeakMap<object, KeyObject>();
  const { toCryptoKey } = KeyObject.prototype;
  KeyObject.prototype.toCryptoKey = function (...args) {
    const made = toCryptoKey.apply(this, args);
    keys.set(made, this);
    return made;
  };
  const prototype = Object.getPrototypeOf(crypto.subtle) as Record<string, (...args: never[]) => Promise<unknown>>;
  for (const name of ['sign', 'verify', 'encrypt', 'decrypt', 'digest', 'exportKey', 'deriveBits', 'importKey']) {
    const real = prototype[name];
    if (!real) continue;
    prototype[name] = async function (this: SubtleCrypto, algorithm: never, key: never, ...data: never[]) {
      const call = immediate[`${name} ${(algorithm as { name?: string }).name}`];
      const known = keys.get(key);
      if (call && known) return call(algorithm, known, ...data);
      const result = await callThread(() => real.call(this, algorithm, key, ...data));
      if (name === 'importKey' && algorithm === 'raw') keys.set(result as object, nodeCrypto.createSecretKey(key));
      return result;
    };
  }
}

/** The number of key pairs that this run has made. */
let keysMade = 0;

/** Begins the keys of a new run. Every run has the same ones, in this order, because a key says nothing about a run. */
export function resetKeys(): void {
  keysMade = 0;
}

/** Replaces `generateKeyPairSync`, and remembers keys that were read from the same text. */
export function installKeys(): void {
  const { createPrivateKey, createPublicKey } = nodeCrypto;
  const publicKeyOf = memo(createPublicKey);
  const made: { publicKey: KeyObject; privateKey: KeyObject }[] = [];
  Object.assign(require('node:crypto'), {
    createPublicKey: publicKeyOf,
    createPrivateKey: memo(createPrivateKey),
    /** A P-256 key pair. */
    generateKeyPairSync() {
      const privateKey = made[keysMade]?.privateKey ?? createPrivateKey({ key: jwkOf(keysMade), format: 'jwk' });
      made[keysMade] ??= { privateKey, publicKey: createPublicKey(privateKey) };
      keysMade += 1;
      return made[keysMade - 1];
    },
  });
}

/** The private key with this number. */
function jwkOf(number: number) {
  const ecdh = nodeCrypto.createECDH('prime256v1');
  const secret = bytesOf(randomOf(number, 'key'), 32);
  // Below the order of the curve.
  secret[0] = (secret[0] ?? 0) & 0x7f;
  ecdh.setPrivateKey(secret);
  const point = ecdh.getPublicKey();
  const text = (bytes: Buffer) => bytes.toString('base64url');
  return { kty: 'EC', crv: 'P-256', d: text(secret), x: text(point.subarray(1, 33)), y: text(point.subarray(33)) };
}

/** The same key for the same input, which is a key, its text, or an object with one of these. */
function memo<I, K extends KeyObject>(read: (input: I) => K): (input: I) => K {
  const byText = new Map<string, K>();
  const byKey = new WeakMap<KeyObject, K>();
  return (input) => {
    if (input instanceof KeyObject) {
      const found = byKey.get(input) ?? read(input);
      byKey.set(input, found);
      return found;
    }
    const { key, ...form } = typeof input === 'string' ? { key: input } : (input as { key: unknown });
    const text = JSON.stringify([key instanceof Uint8Array ? Buffer.from(key).toString('base64') : key, form]);
    const found = byText.get(text) ?? read(input);
    byText.set(text, found);
    return found;
  };
}
