/** Takes a compact JWS apart (RFC 7515 §3.1) and says what is wrong with its form. */

import type { TokenCheck } from './verify.ts';

type Json = Readonly<Record<string, unknown>>;

/** A JWS taken apart, unverified. */
export type Jws = {
  readonly header: Json;
  readonly claims: Json;
  readonly signature: Buffer;
  readonly signingInput: string;
};

/** Takes the text; `jws` is undefined when the check failed. */
export function readToken(token: string): { readonly jws?: Jws; readonly check: TokenCheck } {
  const parts = token.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3)
    return fail(`has ${parts.length} part${parts.length === 1 ? '' : 's'}, expected header.payload.signature`, {
      cause: token.startsWith('marketplace-kit:')
        ? 'this is the install link; give the value of its parameter installVerificationToken'
        : parts.length === 5
          ? 'the token is encrypted (JWE); Apple takes a signed one (JWS)'
          : 'it was cut while copying, or the shell took it apart: put it into quotes',
    });
  for (const [name, part] of Object.entries({ header, payload, signature })) {
    if (part === '') return fail(`the ${name} is empty`, { cause: 'the token was never signed (alg "none"), or cut' });
    if (/[+/=]/.test(part))
      return fail(`the ${name} has + / or =, which base64url has not`, {
        cause: 'it was encoded as base64 instead of base64url (RFC 4648 §5, without padding)',
      });
    if (/%[0-9A-Fa-f]{2}/.test(part)) return fail(`the ${name} is percent-encoded`, { cause: 'decode it once' });
    if (!/^[\w-]+$/.test(part) || part.length % 4 === 1)
      return fail(`the ${name} is not base64url`, { cause: 'it was cut or changed on its way' });
  }
  const [headerJson, claims] = [readJson(header), readJson(payload)];
  if (!headerJson || !claims)
    return fail(`the ${headerJson ? 'payload' : 'header'} is not a JSON object in UTF-8`, {
      cause: 'it was encoded twice, or is not what was signed',
    });
  return {
    jws: {
      header: headerJson,
      claims,
      signature: Buffer.from(signature, 'base64url'),
      signingInput: `${header}.${payload}`,
    },
    check: { name: 'shape', result: 'ok', detail: 'a compact JWS: three parts of base64url, JSON objects' },
  };
}

const fail = (detail: string, { cause }: { cause: string }): { check: TokenCheck } => ({
  check: { name: 'shape', result: 'fail', detail, cause },
});

function readJson(part: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(part, 'base64url')));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    // What it is instead shows in the check.
    return undefined;
  }
}
