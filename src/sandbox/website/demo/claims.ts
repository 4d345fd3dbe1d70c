/** Decodes and explains an install verification token for the demo page (docs/apple-facts.md §1.2, §1.3). */

import type { ClaimName } from '../../../install-token/claims.ts';

export type Members = Readonly<Record<string, unknown>>;
export type DecodedToken = { readonly header: Members; readonly payload: Members };

/** Decodes a compact JWS without checking it. Throws if it is not one. */
export function decodeToken(installToken: string): DecodedToken {
  const [header = '', payload = ''] = installToken.split('.');
  return { header: decodePart(header), payload: decodePart(payload) };
}

const decodePart = (part: string): Members => JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/')));

/** The token in an install link. */
export const tokenIn = (installUrl: string): string =>
  new URL(installUrl).searchParams.get('installVerificationToken') ?? '';

/** The purpose of each member. */
export const purposes: Readonly<Record<string, string>> = {
  alg: 'ECDSA on P-256 with SHA-256, the only algorithm that Apple accepts.',
  kid: 'The id that App Store Connect assigned to the public key, which verifies the signature. The private key never leaves the server.',
  typ: 'The type: JWT.',
  iss: 'The distributor: for an app from a website, its own AppleItemID, as a string.',
  iat: 'When the token was issued. Never in the future.',
  exp: 'When the token expires. The button fetches a new token well before that.',
  aud: 'The audience. Always this constant.',
  bid: 'The bundle id of the app to install.',
  dtype:
    'Whether this is the first install on the device or a later one. The server keeps track; Apple reports it to advertisers.',
  nonce: 'A random UUID, so that a token works only once.',
  iid: 'The AppleItemID of the app. Together with vid, it makes the install faster.',
  vid: 'The AppleVersionID of the package in the link.',
  ccode: 'The country of the install, if a trusted proxy reports it.',
} satisfies Readonly<Record<'alg' | 'kid' | 'typ' | ClaimName, string>>;

/** Formats a value for people, and adds the local time to a time. */
export function displayed(name: string, value: unknown): string {
  if ((name === 'iat' || name === 'exp') && typeof value === 'number')
    return `${value} (${new Date(value * 1000).toLocaleTimeString()})`;
  return String(value);
}
