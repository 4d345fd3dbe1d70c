/**
 * Makes the `token` of an install URL, through which the device later identifies the subject and the install
 * (docs/apple-facts.md §3.6).
 */

import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import type { IssuedInstall, IssueRequest } from '../service/issuing.ts';

/** Returns an encrypted token that expires with the install token in the same URL. */
export type LinkToken = (install: IssueRequest, issued: IssuedInstall) => Promise<string>;

/** Returns the function that makes link tokens with webdist's own authorization server. */
export const linkTokens =
  (server: AuthorizationServer): LinkToken =>
  ({ app, subject }, { dtype, issuedAtSeconds, expiresAtSeconds }) => {
    const install = { appleItemId: app.appleItemId, dtype, untilSeconds: expiresAtSeconds };
    return server.linkToken({ subject, install }, expiresAtSeconds - issuedAtSeconds);
  };
