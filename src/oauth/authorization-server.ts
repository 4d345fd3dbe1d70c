/**
 * webdist's own authorization server for devices: what `/oauth/authorize`, `/oauth/token` and `/oauth/code` do (RFC 6749,
 * RFC 7636, RFC 8414, RFC 8693; docs/apple-facts.md §3.5, §3.6). Clients are not registered: `client_id` is opaque, differs
 * from device to device and is not stable.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { z } from 'zod';
import { endFamily, type Family, newFamily, nextInFamily } from './refresh-family.ts';
import { type OAuthErrorCode, OAuthRefusal, permittedText } from './refusal.ts';
import { authorizeQuery, codeExchange, exchange, REDIRECT_URI, refresh } from './requests.ts';
import type { Grant, Seals } from './sealed.ts';
import type { UsedOnce } from './used-once.ts';

/** The lifetime of an access token. It is short, because an access token cannot be revoked. */
const ACCESS_SECONDS = 3600;
/** The time that a person has to sign in on the login page. */
const LOGIN_SECONDS = 600;
const CODE_SECONDS = 60;

/** A successful response (RFC 6749 §5.1, RFC 8693 §2.2.1). */
export type TokenAnswer = {
  readonly access_token: string;
  readonly issued_token_type: string;
  readonly token_type: 'bearer';
  readonly expires_in: number;
  readonly refresh_token: string;
};

/** The settings of the server. */
export type AuthorizationServerOptions = {
  readonly seals: Seals;
  /** Remembers codes. */
  readonly usedOnce: UsedOnce;
  /** Remembers refresh tokens. */
  readonly refreshedOnce: UsedOnce;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The website's page where people sign in; undefined if there is none. */
  readonly loginUrl: string | undefined;
};

type Granted = Grant & { readonly family?: Family };

/** webdist's own authorization server. */
export type AuthorizationServer = ReturnType<typeof openAuthorizationServer>;

/** The methods throw `OAuthRefusal` or `unauthorized`. */
export function openAuthorizationServer(options: AuthorizationServerOptions) {
  const { seals, usedOnce, refreshedOnce, loginUrl } = options;
  const nowSeconds = () => Math.floor(options.now() / 1000);
  const answer = async ({ subject, install, ...granted }: Granted): Promise<TokenAnswer> => {
    const { family, turn, untilSeconds } = granted.family ?? newFamily(nowSeconds());
    const refreshSeconds = untilSeconds - nowSeconds();
    return {
      access_token: await seals.seal('access', { subject, install }, ACCESS_SECONDS),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'bearer',
      expires_in: ACCESS_SECONDS,
      refresh_token: await seals.seal('refresh', { subject, family, turn, untilSeconds }, refreshSeconds),
    };
  };
  const grants: Readonly<Record<string, (parameters: unknown) => Promise<Granted>>> = {
    async 'token-exchange'(parameters) {
      const { subject_token, audience, resource } = read(exchange, parameters);
      if (audience !== undefined || resource !== undefined)
        throw new OAuthRefusal('invalid_target', 'audience, resource: access tokens are for this website alone.');
      // RFC 8693 §2.2.2 requires this code; §5.2 of RFC 6749 has another one for the other grants.
      return seals
        .open('link', subject_token)
        .catch(refused('invalid_request', 'subject_token: is invalid or expired.'));
    },
    async refresh_token(parameters) {
      const { refresh_token } = read(refresh, parameters);
      const refreshed = await seals
        .open('refresh', refresh_token)
        .catch(refused('invalid_grant', 'refresh_token: is invalid or expired.'));
      const family = await nextInFamily(refreshed, nowSeconds(), refreshedOnce);
      if (!family)
        throw new OAuthRefusal(
          'invalid_grant',
          'refresh_token: was used before, so it is no longer valid (RFC 9700 §4.14.2).',
        );
      return { subject: refreshed.subject, family };
    },
    async authorization_code(parameters) {
      const given = read(codeExchange, parameters);
      const code = await seals.open('code', given.code).catch(refused('invalid_grant', 'code: is invalid or expired.'));
      if (code.clientId !== given.client_id)
        throw new OAuthRefusal('invalid_grant', 'client_id: the code was issued to another client.');
      if (given.redirect_uri !== undefined && given.redirect_uri !== code.redirectUri)
        throw new OAuthRefusal('invalid_grant', 'redirect_uri: differs from the one in the request for the code.');
      if (!isChallengeMet(code.codeChallenge, given.code_verifier))
        throw new OAuthRefusal('invalid_grant', 'code_verifier: does not match the code challenge.');
      const family = newFamily(nowSeconds(), code.id);
      if (!(await usedOnce(code.id, CODE_SECONDS))) {
        await endFamily(family, nowSeconds(), refreshedOnce);
        throw new OAuthRefusal('invalid_grant', 'code: was used before (RFC 6749 §4.1.2).');
      }
      return { subject: code.subject, install: code.install, family };
    },
  };
  return {
    /**
     * Returns the `token` for an install URL. `lifetimeSeconds` is the lifetime of the install token in the same URL.
     */
    linkToken: (grant: Grant, lifetimeSeconds: number): Promise<string> => seals.seal('link', grant, lifetimeSeconds),
    /** Returns the subject and the install that an access token stands for. Throws `unauthorized`. */
    verify: (accessToken: string): Promise<Grant> => seals.open('access', accessToken),
    /** Answers one request to the token endpoint; `parameters` is the parsed form. Throws OAuthRefusal. */
    async token(parameters: Readonly<Record<string, unknown>>): Promise<TokenAnswer> {
      const type = String(parameters['grant_type'] ?? '').replace(/^(urn:)?ietf:params:oauth:grant-type:/, '');
      const grant = Object.hasOwn(grants, type) ? grants[type] : undefined;
      if (typeof parameters['grant_type'] !== 'string')
        throw new OAuthRefusal('invalid_request', 'grant_type: is required, once.');
      if (!grant) throw new OAuthRefusal('unsupported_grant_type', 'grant_type: is not supported by this server.');
      return answer(await grant(parameters));
    },
    /**
     * Returns the URL that the authorization endpoint redirects the browser to (RFC 6749 §4.1.1). Throws OAuthRefusal.
     */
    async authorize(query: Readonly<Record<string, unknown>>): Promise<string> {
      // A wrong redirect URI is refused here, because nothing may be sent to it (RFC 6749 §4.1.2.1).
      const redirectUri = query['redirect_uri'] ?? 'app-distribution-oauth:';
      if (typeof redirectUri !== 'string' || !REDIRECT_URI.test(redirectUri))
        throw new OAuthRefusal('invalid_request', 'redirect_uri: must be app-distribution-oauth:// here.');
      const state = typeof query['state'] === 'string' ? query['state'] : undefined;
      const parsed = authorizeQuery.safeParse(query);
      if (!parsed.success)
        return callback(redirectUri, {
          error: isOtherFlow(query['response_type']) ? 'unsupported_response_type' : 'invalid_request',
          error_description: permittedText(describeIssues(parsed.error)),
          state,
        });
      if (!loginUrl)
        return callback(redirectUri, { error: 'access_denied', error_description: 'There is no login page.', state });
      const { client_id: clientId, code_challenge: codeChallenge, login_hint } = parsed.data;
      const login = new URL(loginUrl);
      const request = await seals.seal('login', { clientId, codeChallenge, redirectUri, state }, LOGIN_SECONDS);
      login.searchParams.set('request', request);
      if (login_hint !== undefined) login.searchParams.set('login_hint', login_hint);
      return login.href;
    },
    /**
     * Returns the URL, with a code for this subject, to which the login page sends the browser after sign-in. Throws
     * `unauthorized`.
     */
    async signedIn(request: string, subject: NonNullable<Grant['subject']>): Promise<string> {
      const { clientId, codeChallenge, redirectUri, state } = await seals.open('login', request);
      const code = await seals.seal('code', { clientId, codeChallenge, redirectUri, subject }, CODE_SECONDS);
      return callback(redirectUri, { code, state });
    },
  };
}

/**
 * The authorization server metadata (RFC 8414): the members on Apple's page (docs/apple-facts.md §3.5), and the others
 * that apply here.
 */
export function oauthMetadata(issuer: string, authorizeUrl: string, tokenUrl: string) {
  return {
    issuer,
    authorization_endpoint: authorizeUrl,
    token_endpoint: tokenUrl,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange'],
    token_endpoint_auth_methods_supported: ['none'],
    code_challenge_methods_supported: ['S256'],
  };
}

function read<T>(schema: z.ZodType<T>, parameters: unknown): T {
  const parsed = schema.safeParse(parameters);
  if (!parsed.success) throw new OAuthRefusal('invalid_request', describeIssues(parsed.error));
  return parsed.data;
}

/** Lists the parameters and their problems, never a value. */
const describeIssues = (error: z.ZodError): string =>
  error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    .join('; ');

const refused = (code: OAuthErrorCode, description: string) => (cause: unknown) => {
  throw new OAuthRefusal(code, description, cause);
};

/** The request is for a flow other than the authorization code (RFC 6749 §4.1.2.1). */
const isOtherFlow = (responseType: unknown) => typeof responseType === 'string' && responseType !== 'code';

/** RFC 7636 §4.6. */
function isChallengeMet(challenge: string, codeVerifier: string): boolean {
  const digest = createHash('sha256').update(codeVerifier, 'ascii').digest();
  const expected = Buffer.from(challenge, 'base64url');
  return expected.length === digest.length && timingSafeEqual(digest, expected);
}

/** Always uses Apple's form `app-distribution-oauth:?code=…`, whichever spelling the request had. */
function callback(redirectUri: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  return `${redirectUri}?${query.join('&')}`;
}
