/**
 * Identifies the device that sends a request, by the access token that webdist's own OAuth or the website's sign-in gave
 * it (docs/apple-facts.md §3.2, §3.6).
 */

import type { FastifyRequest } from 'fastify';
import { hasCode, WebdistError } from '../errors.ts';
import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import type { Grant } from '../oauth/sealed.ts';
import { bearerIn } from './authorize.ts';
import type { SignIn } from './sign-in.ts';

/** The issuers of access tokens, and whether a device must send a token. */
export type DeviceCredentialDeps = {
  readonly authorizationServer: AuthorizationServer | undefined;
  readonly signIn: SignIn | undefined;
  readonly isRequired: boolean;
};

/**
 * Returns the subject and the install that the request's access token stands for. If a credential is required, throws
 * `unauthorized` (401) without one and `forbidden` (403) for an invalid one. Either makes the OS ask the person to sign
 * in (docs/apple-facts.md §11 row 13). If a credential is optional, a device without a valid one is treated as anonymous,
 * because an expired optional token must not block a restore.
 */
export async function authorizeDevice(request: FastifyRequest, deps: DeviceCredentialDeps): Promise<Grant> {
  if (request.headers.authorization === undefined) {
    if (deps.isRequired) throw new WebdistError('unauthorized', 'authorization: an access token is required.');
    return {};
  }
  try {
    const accessToken = bearerIn(request);
    if (accessToken === undefined) throw new WebdistError('unauthorized', 'authorization: is not a bearer token.');
    return await grantOf(accessToken, deps);
  } catch (cause) {
    if (!hasCode(cause, 'unauthorized', 'sign_in_unavailable')) throw cause;
    if (!deps.isRequired) return {};
    if (hasCode(cause, 'sign_in_unavailable')) throw cause;
    throw new WebdistError('forbidden', 'authorization: the access token is invalid or expired.', { cause });
  }
}

async function grantOf(accessToken: string, { authorizationServer, signIn }: DeviceCredentialDeps): Promise<Grant> {
  // webdist's own access tokens are encrypted and have five parts (RFC 7516 §3.1). Those of a sign-in are signed and
  // have three.
  if (authorizationServer && accessToken.split('.').length === 5) return authorizationServer.verify(accessToken);
  if (!signIn) throw new WebdistError('unauthorized', 'authorization: is not an access token of this server.');
  const { subject } = await signIn.verify(accessToken);
  return subject === undefined ? {} : { subject: { kind: 'caller', id: subject } };
}
