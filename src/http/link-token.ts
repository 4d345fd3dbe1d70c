/** The `token` of an install URL: it lets the subject and the install travel with the device (docs/apple-facts.md §3.6). */

import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import type { IssuedInstall, IssueRequest } from '../service/issuing.ts';

/** Gives an encrypted token that lives as long as the install token beside it. */
export type LinkToken = (install: IssueRequest, issued: IssuedInstall) => Promise<string>;

/** Makes link tokens with webdist's own authorization server. */
export const linkTokens =
  (server: AuthorizationServer): LinkToken =>
  ({ app, subject }, { dtype, issuedAtSeconds, expiresAtSeconds }) => {
    const install = { appleItemId: app.appleItemId, dtype, untilSeconds: expiresAtSeconds };
    return server.linkToken({ subject, install }, expiresAtSeconds - issuedAtSeconds);
  };
