/**
 * The PKCS#11 libraries of this process. Each is loaded and initialised once, however many signers use it, and
 * finalised when the last of them closes. This file also classifies a library's return values.
 */

import { createHash } from 'node:crypto';
import type * as sdk from 'pkcs11js';
import type { Refusal } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import { WebdistError } from '../errors.ts';

/** The package `pkcs11js`. */
export type Pkcs11Js = typeof sdk;

export interface Library {
  readonly js: Pkcs11Js;
  readonly cryptoki: sdk.PKCS11;
  /**
   * Logs a session in, unless it is already logged in. A refused PIN is not tried again, because tokens lock after a
   * few attempts.
   */
  logIn(session: sdk.Handle, tokenSerial: string, pin: string): void;
  /** Releases the library. The last release finalises it. Opening it later initialises it again. */
  release(): void;
}

const loaded = new Map<string, { cryptoki: sdk.PKCS11; users: number }>();
const refusedPins = new Set<string>();

/**
 * Opens the library with this path or file name. Throws `config_invalid` if the library or the package cannot be
 * loaded.
 */
export async function openLibrary(path: string): Promise<Library> {
  const js = (await loadSdk('pkcs11js', 'pkcs11', () => import('pkcs11js'))).default;
  const entry = loaded.get(path) ?? { cryptoki: initialise(js, path), users: 0 };
  entry.users++;
  loaded.set(path, entry);
  const { cryptoki } = entry;
  return {
    js,
    cryptoki,
    logIn(session, tokenSerial, pin) {
      const attempt = createHash('sha256').update(`${path}\0${tokenSerial}\0${pin}`).digest('base64');
      if (refusedPins.has(attempt)) throw new PinRefused();
      try {
        cryptoki.C_Login(session, js.CKU_USER, pin);
      } catch (error) {
        const code = codeOf(error);
        if (code === js.CKR_USER_ALREADY_LOGGED_IN) return;
        if (code === js.CKR_PIN_INCORRECT) refusedPins.add(attempt);
        throw error;
      }
    },
    release() {
      if (--entry.users > 0) return;
      loaded.delete(path);
      try {
        cryptoki.C_Finalize();
      } catch (error) {
        // A library that has lost its HSM may fail here, because nothing is left to finalise.
        if (!(error instanceof js.Pkcs11Error)) throw error;
      }
      cryptoki.close();
    },
  };
}

function initialise(js: Pkcs11Js, path: string): sdk.PKCS11 {
  const cryptoki = new js.PKCS11();
  try {
    cryptoki.load(path);
    // Signing runs in libuv's threads, several calls at a time.
    cryptoki.C_Initialize({ flags: js.CKF_OS_LOCKING_OK });
  } catch (cause) {
    throw new WebdistError('config_invalid', `The PKCS#11 library ${path} cannot be loaded.`, {
      hint: 'Check module-path in the locator, and that the library is built for this system.',
      cause,
    });
  }
  return cryptoki;
}

/** This PIN was refused earlier. */
class PinRefused extends Error {
  override readonly name = 'PinRefused';
}

const codeOf = (error: unknown) => (error as Partial<sdk.Pkcs11Error>).code;

/** Classifies what a call threw (PKCS#11 v2.40 §5.1, return values). */
export function pkcs11Refusal(js: Pkcs11Js, thrown: unknown): Refusal {
  const code = codeOf(thrown);
  if (thrown instanceof PinRefused) return pinRefusedBefore;
  if (code === js.CKR_PIN_INCORRECT || code === js.CKR_PIN_LEN_RANGE) return wrongPin;
  if (code === js.CKR_PIN_LOCKED || code === js.CKR_PIN_EXPIRED)
    return { kind: 'denied', why: 'cannot be used: the PIN is locked or has expired.', hint: 'Set a new one.' };
  if (code === js.CKR_USER_NOT_LOGGED_IN || code === js.CKR_KEY_FUNCTION_NOT_PERMITTED) return { kind: 'denied' };
  if (code === js.CKR_MECHANISM_INVALID || code === js.CKR_KEY_TYPE_INCONSISTENT) return { kind: 'invalid' };
  return { kind: 'unreachable', hint: 'Check the HSM and its connection.' };
}

const wrongPin: Refusal = {
  kind: 'denied',
  why: 'cannot be used: the token refuses the PIN.',
  hint: 'Check pin-source in the locator.',
};
const pinRefusedBefore: Refusal = {
  kind: 'denied',
  why: 'cannot be used: the token refused this PIN before, so it is not tried again, because tokens lock after a few attempts.',
  hint: 'Check pin-source in the locator; restart webdist after a change on the token.',
};

/** True if the session, or an object found in it, is no longer valid, so that a new session may help. */
export function isSessionGone(js: Pkcs11Js, thrown: unknown): boolean {
  const gone = [
    js.CKR_SESSION_HANDLE_INVALID,
    js.CKR_SESSION_CLOSED,
    js.CKR_KEY_HANDLE_INVALID,
    js.CKR_OBJECT_HANDLE_INVALID,
    js.CKR_USER_NOT_LOGGED_IN,
    js.CKR_DEVICE_REMOVED,
    js.CKR_DEVICE_ERROR,
    js.CKR_TOKEN_NOT_PRESENT,
    js.CKR_OPERATION_ACTIVE,
  ];
  const code = codeOf(thrown);
  return code !== undefined && gone.includes(code);
}
