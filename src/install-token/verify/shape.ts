/** Parses a compact JWS (RFC 7515 §3.1), and reports what is wrong with its form. */

import { fail, type JsonObject, ok, type TokenCheck } from './checks.ts';

/** A parsed JWS; not verified. */
export type Jws = {
  readonly header: JsonObject;
  readonly claims: JsonObject;
  readonly signature: Buffer;
  readonly signingInput: string;
};

/** Returns the result of the check; `jws` is undefined if it failed. */
export function parseJws(text: string): { readonly jws?: Jws; readonly check: TokenCheck } {
  const parts = text.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3)
    return refused(`has ${parts.length} part${parts.length === 1 ? '' : 's'}, expected header.payload.signature`, {
      cause: text.startsWith('marketplace-kit:')
        ? 'this is the install link; give the value of its parameter installVerificationToken'
        : parts.length === 5
          ? 'the token is encrypted (JWE); Apple accepts only signed tokens (JWS)'
          : 'it was cut off when copied, or split by the shell: put it in quotes',
    });
  for (const [name, part] of Object.entries({ header, payload, signature })) {
    if (part === '')
      return refused(`the ${name} is empty`, { cause: 'the token was never signed (alg "none"), or was cut off' });
    if (/[+/=]/.test(part))
      return refused(`the ${name} contains + / or =, which base64url does not have`, {
        cause: 'it was encoded as base64 instead of base64url (RFC 4648 §5, without padding)',
      });
    if (/%[0-9A-Fa-f]{2}/.test(part)) return refused(`the ${name} is percent-encoded`, { cause: 'decode it once' });
    // The unused bits of the last character must be zero (RFC 4648 §3.5), or one token would have several spellings.
    if (Buffer.from(part, 'base64url').toString('base64url') !== part)
      return refused(`the ${name} is not base64url`, { cause: 'it was cut off or modified on the way' });
  }
  const [headerJson, claims] = [parseJson(header), parseJson(payload)];
  if (!headerJson || !claims)
    return refused(`the ${headerJson ? 'payload' : 'header'} is not a JSON object in UTF-8`, {
      cause: 'it was encoded twice, or is not a token',
    });
  for (const [name, part] of Object.entries({ header, payload })) {
    const member = repeatedMember(textOf(part));
    if (member !== undefined)
      return refused(`the ${name} has ${member} twice`, {
        cause: 'parsers differ in which of the two they take (RFC 7519 §4)',
      });
  }
  return {
    jws: {
      header: headerJson,
      claims,
      signature: Buffer.from(signature, 'base64url'),
      signingInput: `${header}.${payload}`,
    },
    check: ok('shape', 'a compact JWS: three parts of base64url, JSON objects'),
  };
}

const refused = (detail: string, { cause }: { cause: string }) => ({ check: fail('shape', detail, cause) });

/** Throws if it is not UTF-8. A byte order mark stays, which JSON must not have (RFC 8259 §8.1). */
const textOf = (part: string) =>
  new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(part, 'base64url'));

/** Returns a member that the JSON object has more than once, quoted. Members of inner objects are not compared. */
function repeatedMember(json: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token, string] of json.matchAll(/("(?:[^"\\]|\\.)*")(?=\s*:)|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === '{' || token === '[') depth += 1;
    if (token === '}' || token === ']') depth -= 1;
    if (string === undefined || depth !== 1) continue;
    const name = JSON.stringify(JSON.parse(string));
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}

function parseJson(part: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(textOf(part));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    // Not valid; the check `shape` reports that.
    return undefined;
  }
}
