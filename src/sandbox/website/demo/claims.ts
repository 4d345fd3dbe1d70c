/** What is in an install verification token, for readers of the demo page (docs/apple-facts.md §1.2, §1.3). */

export type Claims = Readonly<Record<string, unknown>>;
export type ReadToken = { readonly header: Claims; readonly payload: Claims };

/** Takes a compact JWS apart; checks nothing. Throws when it is none. */
export function readToken(token: string): ReadToken {
  const [header = '', payload = ''] = token.split('.');
  return { header: readPart(header), payload: readPart(payload) };
}

const readPart = (part: string): Claims => JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/')));

/** The token in an install link. */
export const tokenIn = (installUrl: string): string =>
  new URL(installUrl).searchParams.get('installVerificationToken') ?? '';

/** What each member is for. */
export const purposes: Readonly<Record<string, string>> = {
  alg: 'ECDSA on P-256 with SHA-256: the one algorithm Apple takes.',
  kid: 'Which public key checks the signature: the id App Store Connect gave it. The private half never leaves the server.',
  typ: 'Says that this is a JWT.',
  iss: 'Who distributes: for an app from a website its own AppleItemID, as a string.',
  iat: 'When the token was made. Never in the future.',
  exp: 'When it ends. The button gets another well before.',
  aud: 'Whom it is for. Always this constant.',
  bid: 'The bundle id of the app to install.',
  dtype: 'First install on this device, or another? The server keeps track; Apple passes it on to advertisers.',
  nonce: 'A random UUID, so that a token works once.',
  iid: 'The AppleItemID of the app: with vid it makes the install faster.',
  vid: 'The AppleVersionID of the package in the link.',
  ccode: 'The country the install happens in, when a trusted proxy tells it.',
};

/** A value for people; the two times as local time. */
export function shown(name: string, value: unknown): string {
  if ((name === 'iat' || name === 'exp') && typeof value === 'number')
    return `${value} (${new Date(value * 1000).toLocaleTimeString()})`;
  return String(value);
}
