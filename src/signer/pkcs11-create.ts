/** Creates a P-256 key pair on a PKCS#11 token, which it never leaves (PKCS#11 v2.40 §2.3.5). */

import { randomBytes } from 'node:crypto';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { asRefusal, openSearch } from './pkcs11.ts';
import { closeSession, openLoggedIn, P256 } from './pkcs11-token.ts';

/**
 * Creates the pair with the label `object` of the locator, and its `id` or a random one. Both halves stay on the token,
 * and the private one is sensitive. Throws `config_invalid`, `key_denied`, `key_unreachable` or `key_invalid`.
 */
export async function createPkcs11(locator: string, env: Environment): Promise<string> {
  const search = await openSearch(locator, env);
  const { library, uri } = search;
  const { js, cryptoki } = library;
  try {
    if (uri.object === undefined)
      throw new WebdistError('config_invalid', 'A new key needs a label.', {
        hint: 'Add ;object=NAME to the locator.',
      });
    const { handle: session } = openLoggedIn(search, { isReadWrite: true });
    const both = [
      { type: js.CKA_TOKEN, value: true },
      { type: js.CKA_LABEL, value: uri.object },
      { type: js.CKA_ID, value: uri.id ?? randomBytes(16) },
    ];
    try {
      cryptoki.C_GenerateKeyPair(
        session,
        { mechanism: js.CKM_EC_KEY_PAIR_GEN },
        [...both, { type: js.CKA_VERIFY, value: true }, { type: js.CKA_EC_PARAMS, value: P256 }],
        [
          ...both,
          { type: js.CKA_SIGN, value: true },
          { type: js.CKA_PRIVATE, value: true },
          { type: js.CKA_SENSITIVE, value: true },
          { type: js.CKA_EXTRACTABLE, value: false },
        ],
      );
    } finally {
      closeSession(library, session);
    }
    return locator;
  } catch (cause) {
    throw asRefusal(search, cause);
  } finally {
    library.release();
  }
}
