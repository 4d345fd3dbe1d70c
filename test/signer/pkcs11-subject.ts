/** PKCS#11 tokens as subjects of the signer contract: how a locator of one is opened, and how opening is refused. */

import { openPkcs11 } from '../../src/signer/pkcs11.ts';
import type { SignerSubject } from './contract.ts';

/** A token `shop` with the keys `good` (P-256) and `p384`, and its library. */
type Token = { readonly library: string; readonly pin: string };

/** Opens a key of a token by the path of its URI; the default query contains the PIN. */
export const openOn =
  ({ library, pin }: Token) =>
  (path: string, query = `pin-value=${pin}`) =>
    openPkcs11(`pkcs11:${path}?module-path=${library}&${query}`, {});

/** `malformed` is a key on the token that cannot be used; `more` are refusals that only this token has. */
export function pkcs11Subject(token: Token, malformed: string, more: SignerSubject['refusals'] = {}): SignerSubject {
  const open = openOn(token);
  return {
    backend: 'pkcs11',
    named: /PKCS#11/,
    open: () => open('token=shop;object=good'),
    refusals: {
      absent: () => open('token=shop;object=none'),
      unreachable: () => open('token=elsewhere;object=good'),
      wrongCurve: () => open('token=shop;object=p384'),
      malformed: () => open(`token=shop;object=${malformed}`),
      malformedLocator: () => open('token=shop;objekt=good'),
      ...more,
    },
    secrets: [token.pin],
  };
}
