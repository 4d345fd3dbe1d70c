/**
 * Checks whether the signature verifies with the key that `kid` names. If not, finds the mistake, such as a wrong
 * `kid`, DER instead of r‖s, or use of the App Store Connect API key.
 */

import { type KeyObject, verify } from 'node:crypto';
import { appOf, fail, type Known, type KnownKey, ok, quoted, type TokenCheck } from './checks.ts';
import type { Jws } from './shape.ts';

const NAME = 'signature';
const RAW_BYTES = 64;

/** Checks `kid` and signature together, because each explains the other. */
export function signatureCheck(jws: Jws, { keys, apiKey }: Known): TokenCheck {
  const { kid } = jws.header;
  const signer = keys.find((key) => verifies(jws, key.publicKey));
  if (kid !== undefined && kid === apiKey?.keyId)
    return fail(
      'kid',
      `${quoted(kid)}, the id of the App Store Connect API key`,
      'the API key was used; sign with the distribution key, and use the id that App Store Connect assigned to it',
    );
  if (apiKey?.publicKey && verifies(jws, apiKey.publicKey))
    return fail(
      NAME,
      'it is signed with the App Store Connect API key',
      'the .p8 of the API key was configured as the distribution key (WEBDIST_KEY)',
    );
  if (typeof kid !== 'string' || kid === '')
    return fail(
      'kid',
      `${quoted(kid)}, expected the id of the registered key`,
      signer?.keyId ? `the right id is ${signer.keyId}` : 'find the id with `webdist apps find BUNDLE_ID`',
    );
  if (keys.length === 0) return fail(NAME, 'could not be checked: no public key is known');
  return formCheck(jws) ?? keyCheck(kid, keys, signer);
}

/** Whether the key with the id `kid` is registered for the token's app; undefined if this is not known. */
export function keyAppCheck({ header: { kid }, claims }: Jws, known: Known): TokenCheck | undefined {
  const registered = known.keys.find(({ keyId }) => keyId !== undefined && keyId === kid)?.apps;
  const app = appOf(claims, known);
  if (!registered || !app) return undefined;
  if (registered === 'all') return ok('kid', `${quoted(kid)} is registered for all apps of the account`);
  if (registered.includes(app.appleItemId)) return ok('kid', `${quoted(kid)} is registered for the app`);
  const owner = registered.length === 0 ? 'another app' : `the app ${registered.join(', ')}`;
  return fail(
    'kid',
    `${quoted(kid)} is registered for ${owner}, not for ${app.appleItemId}`,
    'the keys of two apps were mixed up; `webdist apps find BUNDLE_ID` shows the key of each',
  );
}

function formCheck({ signature }: Jws): TokenCheck | undefined {
  if (isDer(signature))
    return fail(
      NAME,
      `has ${signature.length} bytes in DER, expected the 64 of r‖s (RFC 7518 §3.4)`,
      "most crypto libraries return DER by default; in Node, set dsaEncoding: 'ieee-p1363'",
    );
  if (signature.length === RAW_BYTES) return undefined;
  return fail(
    NAME,
    `has ${signature.length} bytes, expected the 64 of r‖s (RFC 7518 §3.4)`,
    signature.length === 32 ? 'it is an HMAC (HS256)' : 'it was cut off, or the key is not on P-256',
  );
}

/** `signer` is the known key that verifies the signature, if there is one. */
function keyCheck(kid: string, keys: readonly KnownKey[], signer: KnownKey | undefined): TokenCheck {
  if (signer?.keyId === kid) return ok(NAME, `verifies with the public key ${kid}, from ${signer.source}`);
  if (signer && signer.keyId === undefined)
    return ok(
      NAME,
      `verifies with the public key from ${signer.source}; whether that is registered as ${kid} was not checked`,
    );
  if (signer)
    return fail(
      'kid',
      `${quoted(kid)}, but the token is signed with the key ${signer.keyId}`,
      `the key was rotated, or the id of another app was used; kid must be ${signer.keyId}`,
    );
  const named = keys.find(({ keyId }) => keyId === kid) ?? keys.find(({ keyId }) => keyId === undefined);
  if (named)
    return fail(
      NAME,
      `does not verify with the public key ${kid} (${named.source})`,
      'it was signed with another private key, or the token was modified afterwards',
    );
  const sources = [...new Set(keys.map(({ source }) => source))].join(', ');
  return fail(
    'kid',
    `${quoted(kid)}, which is not the id of a known key (${sources})`,
    'the key was removed, belongs to another account, or kid is a thumbprint of the key instead of its id',
  );
}

const isDer = (bytes: Buffer) => bytes[0] === 0x30 && bytes[1] === bytes.length - 2 && bytes[2] === 0x02;

function verifies({ signature, signingInput }: Jws, key: KeyObject): boolean {
  const dsaEncoding = isDer(signature) ? 'der' : 'ieee-p1363';
  return verify('sha256', Buffer.from(signingInput, 'ascii'), { key, dsaEncoding }, signature);
}
