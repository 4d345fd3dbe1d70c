/** Classifies the return values of PKCS#11 libraries (PKCS#11 v2.40 §5.1). */

import type * as sdk from 'pkcs11js';
import type { Refusal } from '../cloud/refusal.ts';

/** This PIN was refused earlier, in this process or in a previous one. `file`: where the refusal is stored. */
export class PinRefused extends Error {
  override readonly name = 'PinRefused';
  readonly file: string | undefined;
  constructor(file: string | undefined) {
    super();
    this.file = file;
  }
}

/** The CK_RV of what a call threw; undefined for any other error. */
export const codeOf = (error: unknown) => (error as Partial<sdk.Pkcs11Error>).code;

/** Classifies what a call threw. */
export function pkcs11Refusal(js: typeof sdk, thrown: unknown): Refusal {
  if (thrown instanceof PinRefused) return refusedBefore(thrown.file);
  const code = codeOf(thrown);
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

const refusedBefore = (file: string | undefined): Refusal => ({
  kind: 'denied',
  why: 'cannot be used: the token refused this PIN before, so it is not tried again, because tokens lock after a few attempts.',
  hint: `Correct the file of pin-source; if the token has this PIN now, ${file ? `delete ${file}` : 'restart webdist'}.`,
});

/** True if the session, or an object found in it, is no longer valid, so that a new session may help. */
export function isSessionGone(js: typeof sdk, thrown: unknown): boolean {
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
    js.CKR_CRYPTOKI_NOT_INITIALIZED,
    js.CKR_GENERAL_ERROR,
    js.CKR_FUNCTION_FAILED,
  ];
  const code = codeOf(thrown);
  return code !== undefined && gone.includes(code);
}
