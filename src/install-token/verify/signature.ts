/**
 * Whether the signature of a token verifies under the key its `kid` names, and if not, under what it does: the wrong
 * `kid`, DER instead of r‖s, the App Store Connect API key. Must not know the claims.
 */

import { type KeyObject, verify } from 'node:crypto';
import type { Jws } from './shape.ts';
import type { Known, KnownKey, TokenCheck } from './verify.ts';

const RAW_BYTES = 64;

/** Looks at `kid` and signature together: each explains the other. */
export function signatureCheck(jws: Jws, known: Known): TokenCheck {
  const { kid } = jws.header;
  const { keys, apiKey } = known;
  const signer = keys.find((key) => verifies(jws, key.publicKey));
  const isDer = isDerSignature(jws.signature);
  if (kid !== undefined && kid === apiKey?.keyId)
    return fail(`kid is ${JSON.stringify(kid)}, the id of the App Store Connect API key`, {
      cause: 'the API key was used; the distribution key signs, under the id App Store Connect gave its public half',
    });
  if (apiKey?.publicKey && verifies(jws, apiKey.publicKey))
    return fail('it is signed with the App Store Connect API key', {
      cause: 'the .p8 was put in the place of the distribution key (WEBDIST_KEY)',
    });
  if (typeof kid !== 'string' || kid === '')
    return fail(`kid is ${JSON.stringify(kid)}, expected the id of the registered key`, {
      cause: signer?.keyId ? `the right one is ${signer.keyId}` : 'see `webdist apps find BUNDLE_ID`',
    });
  if (keys.length === 0)
    return { name: 'signature', result: 'fail', detail: 'could not be checked: no public key is known' };
  if (isDer)
    return fail(`has ${jws.signature.length} bytes in DER, expected the 64 of r‖s (RFC 7518 §3.4)`, {
      cause: "the default of most crypto libraries is DER; in Node: dsaEncoding: 'ieee-p1363'",
    });
  if (jws.signature.length !== RAW_BYTES)
    return fail(`has ${jws.signature.length} bytes, expected the 64 of r‖s (RFC 7518 §3.4)`, {
      cause: jws.signature.length === 32 ? 'it is an HMAC (HS256)' : 'it was cut, or the key is not on P-256',
    });
  const named = keys.find((key) => key.keyId === kid) ?? keys.find((key) => key.keyId === undefined);
  if (signer && (signer.keyId === undefined || signer.keyId === kid)) return verified(signer, kid);
  if (signer)
    return fail(`kid is ${JSON.stringify(kid)}, but it is signed with the key ${signer.keyId}`, {
      cause: `the key was rotated or another app's id was taken; kid has to be ${signer.keyId}`,
    });
  if (!named)
    return fail(`kid is ${JSON.stringify(kid)}, and no such key is known (${sources(keys)})`, {
      cause: 'the key was removed, belongs to another account, or kid is a thumbprint of the key instead of its id',
    });
  return fail(`does not verify with the public key ${kid} (${named.source})`, {
    cause: 'it was signed with another private key, or the token was changed afterwards',
  });
}

const verified = ({ keyId, source }: KnownKey, kid: string): TokenCheck => ({
  name: 'signature',
  result: 'ok',
  detail: `verifies with the public key ${keyId ?? kid}, from ${source}${keyId === undefined ? '; whether it is registered under that id was not looked at' : ''}`,
});

const fail = (detail: string, { cause }: { cause: string }): TokenCheck => ({
  name: 'signature',
  result: 'fail',
  detail,
  cause,
});

const sources = (keys: readonly KnownKey[]) => [...new Set(keys.map(({ source }) => source))].join(', ');

const isDerSignature = (bytes: Buffer) => bytes[0] === 0x30 && bytes[1] === bytes.length - 2 && bytes[2] === 0x02;

function verifies({ signature, signingInput }: Jws, key: KeyObject): boolean {
  const dsaEncoding = isDerSignature(signature) ? 'der' : 'ieee-p1363';
  return verify('sha256', Buffer.from(signingInput, 'ascii'), { key, dsaEncoding }, signature);
}
