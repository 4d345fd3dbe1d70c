/**
 * A key in a hardware security module: `pkcs11:…` (RFC 7512). Example:
 * `pkcs11:token=webdist;object=camping?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin`.
 * PKCS11_MODULE_PATH is the default for module-path. The key is an EC private key on P-256 with CKA_SIGN, and the token
 * has its public key or a certificate under the same CKA_ID. See docs/keys/pkcs11.md.
 */

import { hash, type KeyObject } from 'node:crypto';
import pLimit from 'p-limit';
import { readCredential } from '../cloud/files.ts';
import { refused } from '../cloud/refusal.ts';
import type { Environment } from '../environment.ts';
import { hasCode, WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { openLibrary } from './pkcs11-library.ts';
import { isSessionGone, pkcs11Refusal } from './pkcs11-refusal.ts';
import { closeSession, openSession, type Search, type Session, type Wanted } from './pkcs11-token.ts';
import { parsePkcs11Uri } from './pkcs11-uri.ts';

/**
 * The number of sessions that sign at the same time. Each occupies one of libuv's threads (usually four), which other
 * work also needs.
 */
const SESSIONS = 2;

/**
 * Opens a `pkcs11:` locator. If several keys match it, the one whose public half is `registered` is used.
 * Throws `config_invalid`, `key_absent`, `key_denied`, `key_unreachable` or `key_invalid`.
 */
export async function openPkcs11(locator: string, env: Environment, registered?: KeyObject): Promise<Signer> {
  const search = await openSearch(locator, env);
  try {
    return signerOf(search, findAgain(search, { publicKey: registered, isRequired: false }));
  } catch (cause) {
    search.library.release();
    throw asRefusal(search, cause);
  }
}

/**
 * Loads the library of a locator, and returns it with the description of the key to find. Throws `config_invalid`,
 * `key_denied`.
 */
export async function openSearch(locator: string, env: Environment): Promise<Search> {
  const uri = parsePkcs11Uri(locator);
  const path = uri.module ?? env['PKCS11_MODULE_PATH'];
  if (!path)
    throw new WebdistError('config_invalid', 'A pkcs11: locator needs the path of the PKCS#11 library of the HSM.', {
      hint: 'Add ?module-path=/path/to/the/library.so to it, or set PKCS11_MODULE_PATH.',
    });
  const thing = `The PKCS#11 key ${uri.object ?? uri.id?.toString('hex') ?? ''} of the token ${uri.match.token ?? '(any)'}`;
  const pin =
    uri.pinSource === undefined ? uri.pinValue : await readCredential(uri.pinSource, 'the PIN of the PKCS#11 token');
  const library = await openLibrary(path, env);
  return { thing, uri, library, ...(pin !== undefined && { pin }) };
}

/**
 * Opens a session. If the HSM seems to be unreachable, reloads the library, which may have lost its connection, and tries
 * once more.
 */
function findAgain(search: Search, wanted: Wanted): Session {
  try {
    return openSession(search, wanted);
  } catch (error) {
    const isAway = hasCode(asRefusal(search, error), 'key_unreachable', 'key_absent');
    if (!isAway || !search.library.reload()) throw error;
    return openSession(search, wanted);
  }
}

function signerOf(search: Search, first: Session): Signer {
  const { library } = search;
  const { js } = library;
  const turn = pLimit(SESSIONS);
  let idle = [first];

  const startSigning = ({ handle, privateKey, needsPin }: Session) => {
    library.cryptoki.C_SignInit(handle, { mechanism: js.CKM_ECDSA }, privateKey);
    if (needsPin && search.pin !== undefined) library.logIn(handle, needsPin, search.pin, js.CKU_CONTEXT_SPECIFIC);
  };
  const signOnce = async (digest: Buffer) => {
    idle = idle.filter(isCurrent);
    const session = idle.pop() ?? findAgain(search, { publicKey: first.publicKey, isRequired: true });
    try {
      startSigning(session);
      const signature = await library.during(() =>
        library.cryptoki.C_SignAsync(session.handle, digest, Buffer.alloc(64)),
      );
      idle.push(session);
      return signature;
    } catch (error) {
      if (isCurrent(session)) closeSession(library, session.handle);
      throw error;
    }
  };
  const isCurrent = ({ generation }: Session) => generation === library.generation;
  const closeIdle = () => {
    for (const session of idle.splice(0)) if (isCurrent(session)) closeSession(library, session.handle);
  };
  const removeProbe = library.addProbe(() => {
    const session = idle.find(isCurrent);
    if (!session) return false;
    try {
      startSigning(session);
      return library.cryptoki.C_Sign(session.handle, Buffer.alloc(32, 1), Buffer.alloc(64)).length > 0;
    } catch {
      return false;
    }
  });

  const signAgain = async (digest: Buffer) => {
    try {
      return await signOnce(digest);
    } catch (error) {
      if (!isSessionGone(js, error)) throw error;
      // An HSM that was unavailable has closed every session. One attempt with a new session shows whether it is back.
      closeIdle();
      return await signOnce(digest);
    }
  };

  const running = new Set<Promise<Buffer>>();
  return {
    backend: 'pkcs11',
    publicKey: first.publicKey,
    async sign(data) {
      const call = turn(signAgain, hash('sha256', data, 'buffer'));
      running.add(call);
      try {
        return await call;
      } catch (cause) {
        throw asRefusal(search, cause);
      } finally {
        running.delete(call);
      }
    },
    async close() {
      const released = Promise.allSettled(running).then(() => {
        removeProbe();
        closeIdle();
        library.release();
      });
      // A call that hangs in the library must not block closing. Finalising the library during the call would crash.
      if (running.size === 0) await released;
    },
  };
}

/** Returns the error for a value that a call into the library threw. */
export const asRefusal = ({ thing, library }: Search, cause: unknown) =>
  cause instanceof WebdistError ? cause : refused(thing, pkcs11Refusal(library.js, cause), cause);
