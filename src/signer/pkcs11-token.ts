/** Finds a key on a PKCS#11 token: the slot, a logged-in session, the private key and its public half. */

import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { Attribute, Handle } from 'pkcs11js';
import { refused } from '../cloud/refusal.ts';
import { WebdistError } from '../errors.ts';
import { canonical, isP256, spki } from '../jws.ts';
import type { Library } from './pkcs11-library.ts';
import { isSessionGone } from './pkcs11-refusal.ts';
import type { Pkcs11Uri } from './pkcs11-uri.ts';

/** CKA_EC_PARAMS of P-256: `ECParameters`, the DER of the object identifier 1.2.840.10045.3.1.7. */
export const P256 = Buffer.from('06082a8648ce3d030107', 'hex');

type Pair = {
  readonly privateKey: Handle;
  readonly publicKey: KeyObject;
  /** The serial number of the token if the key needs the PIN for each signature (CKA_ALWAYS_AUTHENTICATE). */
  readonly needsPin: string | undefined;
};
/** An open session and its key. Object handles are valid only in their session, and both only in their generation. */
export type Session = Pair & { readonly handle: Handle; readonly generation: number };

/** The key to find, and its token. `thing` is the subject of messages about the key. */
export type Search = {
  readonly thing: string;
  readonly uri: Pkcs11Uri;
  readonly library: Library;
  readonly pin?: string;
};

/** The public half that selects a key, if there is one. `isRequired` means that no other key is acceptable. */
export type Wanted = { readonly publicKey: KeyObject | undefined; readonly isRequired: boolean };

/**
 * Opens a session on the token, logs in, and finds the key. Of several matching keys, returns the wanted one. Throws
 * `key_absent`, `key_unreachable`, `key_invalid`, or what the library throws.
 */
export function openSession(search: Search, wanted: Wanted): Session {
  const { handle, serial } = openLoggedIn(search);
  try {
    const pairs = findKeys(search, handle, serial);
    const half = wanted.publicKey && spki(wanted.publicKey);
    const same = pairs.find(({ publicKey }) => spki(publicKey) === half);
    const [pair, ...others] = same || wanted.isRequired ? [same] : pairs;
    if (!pair)
      throw refused(search.thing, { kind: 'absent', hint: 'Check object and id in the locator, and the PIN.' });
    if (others.length > 0)
      throw refused(search.thing, { kind: 'invalid', why: 'matches several keys.', hint: 'Add id= to the locator.' });
    return { handle, generation: search.library.generation, ...pair };
  } catch (cause) {
    closeSession(search.library, handle);
    throw cause;
  }
}

/**
 * Opens a session on the token and logs in. A read-write session may create objects. Throws what `openSession` throws.
 */
export function openLoggedIn(
  { library, pin, ...search }: Search,
  { isReadWrite = false } = {},
): { handle: Handle; serial: string } {
  const { cryptoki, js, logIn } = library;
  const { slot, serial } = findToken({ library, ...search });
  const handle = cryptoki.C_OpenSession(slot, js.CKF_SERIAL_SESSION | (isReadWrite ? js.CKF_RW_SESSION : 0));
  try {
    if (pin !== undefined) logIn(handle, serial, pin);
    return { handle, serial };
  } catch (cause) {
    closeSession(library, handle);
    throw cause;
  }
}

/** Closes a session. A session that cannot be closed no longer exists. */
export function closeSession({ cryptoki, js }: Library, handle: Handle): void {
  try {
    cryptoki.C_CloseSession(handle);
  } catch (error) {
    if (!(error instanceof js.Pkcs11Error)) throw error;
  }
}

function findToken({ thing, uri, library: { cryptoki, js } }: Search): { slot: Handle; serial: string } {
  const slots = cryptoki.C_GetSlotList(true).map((slot) => ({ slot, info: cryptoki.C_GetTokenInfo(slot) }));
  const tokens = slots
    .filter(({ slot }) => uri.slotId === undefined || slot.readUIntLE(0, 6) === uri.slotId)
    .filter(({ info }) => info.flags & js.CKF_TOKEN_INITIALIZED)
    .map(({ slot, info: { label, manufacturerID, serialNumber, model } }) => ({
      slot,
      // PKCS#11 pads these texts with blanks.
      attributes: {
        token: label.trimEnd(),
        manufacturer: manufacturerID.trimEnd(),
        serial: serialNumber.trimEnd(),
        model: model.trimEnd(),
      },
    }))
    .filter(({ attributes }) =>
      Object.entries(uri.match).every(([name, value]) => attributes[name as keyof typeof attributes] === value),
    );
  const [token, ...others] = tokens;
  // Not `absent`, which would stop signing. A token that is unplugged for a moment cannot be distinguished from a
  // missing one.
  if (!token)
    throw refused(thing, {
      kind: 'unreachable',
      why: 'cannot be reached: no such token is connected.',
      hint: 'Check the HSM, and token, serial and slot-id in the locator.',
    });
  if (others.length > 0)
    throw refused(thing, { kind: 'invalid', why: 'matches several tokens.', hint: 'Add serial= to the locator.' });
  return { slot: token.slot, serial: token.attributes.serial };
}

function findKeys(search: Search, session: Handle, serial: string): Pair[] {
  const { js, cryptoki } = search.library;
  const { object, id } = search.uri;
  const found = findObjects(search.library, session, [
    { type: js.CKA_CLASS, value: js.CKO_PRIVATE_KEY },
    ...(object === undefined ? [] : [{ type: js.CKA_LABEL, value: object }]),
    ...(id === undefined ? [] : [{ type: js.CKA_ID, value: id }]),
  ]);
  return found.map((privateKey) => {
    const [keyType, keyId] = values(cryptoki, session, privateKey, [js.CKA_KEY_TYPE, js.CKA_ID]);
    if (keyType?.readUIntLE(0, 4) !== js.CKK_EC)
      throw refused(search.thing, { kind: 'invalid', hint: 'Use an EC key on the curve P-256.' });
    return {
      privateKey,
      publicKey: publicHalf(search, session, keyId ?? Buffer.alloc(0)),
      needsPin: isAlwaysAuthenticated(search.library, session, privateKey) ? serial : undefined,
    };
  });
}

/** Whether the key has CKA_ALWAYS_AUTHENTICATE, which not every token supports. */
function isAlwaysAuthenticated({ js, cryptoki }: Library, session: Handle, key: Handle): boolean {
  try {
    return values(cryptoki, session, key, [js.CKA_ALWAYS_AUTHENTICATE])[0]?.[0] === 1;
  } catch {
    return false;
  }
}

/**
 * A private key object does not contain its public half. It is in the public key or certificate with the same CKA_ID.
 */
function publicHalf({ thing, library }: Search, session: Handle, id: Buffer): KeyObject {
  const { js, cryptoki } = library;
  const beside = (kind: number) =>
    findObjects(library, session, [
      { type: js.CKA_CLASS, value: kind },
      { type: js.CKA_ID, value: id },
    ])[0];
  const invalid = (why: string, cause?: unknown) =>
    refused(thing, { kind: 'invalid', why, hint: 'Use an EC key on P-256 whose public key is on the token.' }, cause);
  let key: KeyObject | undefined;
  try {
    const publicObject = beside(js.CKO_PUBLIC_KEY);
    const certificate = publicObject ? undefined : beside(js.CKO_CERTIFICATE);
    if (publicObject) {
      const [params, point] = values(cryptoki, session, publicObject, [js.CKA_EC_PARAMS, js.CKA_EC_POINT]);
      if (params?.equals(P256) && point) key = keyOfPoint(point);
    } else if (certificate) {
      const [der] = values(cryptoki, session, certificate, [js.CKA_VALUE]);
      key = new X509Certificate(der ?? '').publicKey;
    } else throw invalid('has no public key and no certificate with the same CKA_ID.');
  } catch (cause) {
    if (cause instanceof WebdistError || isSessionGone(js, cause)) throw cause;
    throw invalid('has a public half that cannot be parsed.', cause);
  }
  if (!key || !isP256(key)) throw invalid('is not on the curve P-256.');
  return canonical(key);
}

/** CKA_EC_POINT is a DER octet string of the uncompressed point; some tokens omit the octet string. */
function keyOfPoint(value: Buffer): KeyObject {
  const point = value.length === 67 ? value.subarray(2) : value;
  const [x, y] = [point.subarray(1, 33), point.subarray(33, 65)].map((part) => part.toString('base64url'));
  return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: x ?? '', y: y ?? '' }, format: 'jwk' });
}

/** A URI that matches several keys is refused, so there is no need to read more than this. */
const MAX_OBJECTS = 32;

function findObjects({ cryptoki }: Library, session: Handle, template: Attribute[]): Handle[] {
  cryptoki.C_FindObjectsInit(session, template);
  try {
    return cryptoki.C_FindObjects(session, MAX_OBJECTS);
  } finally {
    cryptoki.C_FindObjectsFinal(session);
  }
}

const values = (cryptoki: Library['cryptoki'], session: Handle, object: Handle, types: number[]) =>
  cryptoki
    .C_GetAttributeValue(
      session,
      object,
      types.map((type) => ({ type })),
    )
    .map(({ value }) => value as Buffer);
