/** How an authorization server refuses (RFC 6749 §5.2). The words are for developers and safe to show. */

export type OAuthErrorCode = 'invalid_request' | 'invalid_grant' | 'unsupported_grant_type';

/** Answered as `{ error, error_description }` with status 400. Not a `WebdistError`: the RFC says what it looks like. */
export class OAuthRefusal extends Error {
  readonly code: OAuthErrorCode;

  constructor(code: OAuthErrorCode, description: string, cause?: unknown) {
    super(description, { cause });
    this.code = code;
  }
}
