/** The requests to the authorization server: what each must contain, and how the API's description shows it. */

import { z } from 'zod';

/**
 * The addresses that the browser may return to: Apple's scheme, in the forms that its pages use (docs/apple-facts.md
 * §3.6).
 */
export const REDIRECT_URI = /^app-distribution-oauth:(\/\/)?\/?$/;

const text = z.string().min(1).max(4096);
const verifier = z.string().regex(/^[A-Za-z0-9._~-]{43,128}$/, 'is not a code verifier (RFC 7636 §4.1)');

/** The query of an authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3). */
export const authorizeQuery = z.object({
  response_type: z.literal('code', 'must be code'),
  client_id: text,
  code_challenge: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be a SHA-256 digest in base64url (RFC 7636 §4.2)'),
  code_challenge_method: z.literal('S256', 'must be S256'),
  state: text.optional(),
  login_hint: text.optional(),
});

/** RFC 8693 §2.1, with and without the prefix that Apple's page writes (docs/apple-facts.md §11 row 17). */
const tokenType = z
  .string()
  .regex(
    /^((urn:)?ietf:params:oauth:token-type:)?(access_token|jwt)$/,
    'must be urn:ietf:params:oauth:token-type:access_token',
  )
  .optional();
/** RFC 8693 §2.1. */
export const exchange = z.object({
  subject_token: text,
  subject_token_type: tokenType,
  requested_token_type: tokenType,
  audience: z.unknown().optional(),
  resource: z.unknown().optional(),
});
/** RFC 6749 §6. */
export const refresh = z.object({ refresh_token: text });
/** RFC 6749 §4.1.3, RFC 7636 §4.5. */
export const codeExchange = z.object({
  code: text,
  code_verifier: verifier,
  client_id: text,
  redirect_uri: z.string().optional(),
});

/** A `grant_type`, with and without the prefix that Apple's page writes (docs/apple-facts.md §11 row 17). */
const grantType = (name: string) =>
  z.enum([`urn:ietf:params:oauth:grant-type:${name}`, `ietf:params:oauth:grant-type:${name}`, name]);

/** A token of this server. */
const ascii = z.string().regex(/^[\x21-\x7e]+$/);

/** The description of a token request. */
export const describedTokenRequest = z.discriminatedUnion('grant_type', [
  z.object({
    grant_type: grantType('token-exchange'),
    subject_token: ascii,
    subject_token_type: tokenType,
    requested_token_type: tokenType,
  }),
  z.object({ grant_type: grantType('refresh_token'), refresh_token: ascii }),
  z.object({
    grant_type: grantType('authorization_code'),
    code: ascii,
    code_verifier: verifier,
    client_id: ascii,
    redirect_uri: z.string().optional(),
  }),
]);

/** The description of an authorization request. All other errors are reported to the `redirect_uri`, with 302. */
export const describedAuthorizeQuery = z.object({
  redirect_uri: z.string().regex(REDIRECT_URI).optional(),
  response_type: z.string().describe('`code`').optional(),
  client_id: z.string().optional(),
  code_challenge: z.string().describe('A SHA-256 digest in base64url (RFC 7636 §4.2)').optional(),
  code_challenge_method: z.string().describe('`S256`').optional(),
  state: z.string().optional(),
  login_hint: z.string().optional(),
});
