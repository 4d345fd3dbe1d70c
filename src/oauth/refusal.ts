/** The error of an authorization server (RFC 6749 §5.2). Its message is for developers and holds no secret. */

/** The codes of RFC 6749 §5.2 and RFC 8693 §2.2.2 (`invalid_target`) that occur here. */
export type OAuthErrorCode = 'invalid_request' | 'invalid_grant' | 'invalid_target' | 'unsupported_grant_type';

/** Returns the text in the characters that RFC 6749 §5.2 permits in `error_description`. */
export const permittedText = (text: string): string =>
  text
    .replaceAll('§', 'section ')
    .replaceAll('"', "'")
    .replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '.');

/**
 * The response is `{ error, error_description }` with status 400, as the RFC requires. So this is not a `WebdistError`.
 */
export class OAuthRefusal extends Error {
  readonly code: OAuthErrorCode;

  constructor(code: OAuthErrorCode, description: string, cause?: unknown) {
    super(permittedText(description), { cause });
    this.code = code;
  }
}
