/**
 * Who a device's request is from: the access token that webdist's own OAuth or the website's sign-in gave it
 * (docs/apple-facts.md §3.2, §3.6).
 */

import type { FastifyRequest } from 'fastify';
import { hasCode, WebdistError } from '../errors.ts';
import type { AuthorizationServer } from '../oauth/authorization-server.ts';
import type { Grant } from '../oauth/sealed.ts';
import type { SignIn } from './sign-in.ts';

export type CredentialParts = {
  readonly authorizationServer: AuthorizationServer | undefined;
  readonly signIn: SignIn | undefined;
  readonly isRequired: boolean;
};

/**
 * Gives what the request's access token stands for. Where a credential is required: throws `unauthorized` (401) when
 * there is none and `forbidden` (403) when it is not good; either makes the OS ask the person to sign in (§11 row 13).
 * Where it is not, such a request is nobody's: an app must not be lost because a token ended that nobody needs.
 */
export async function deviceCredential(request: FastifyRequest, parts: CredentialParts): Promise<Grant> {
  const { authorization } = request.headers;
  if (authorization === undefined) {
    if (parts.isRequired) throw new WebdistError('unauthorized', 'authorization: an access token is required.');
    return {};
  }
  try {
    const accessToken = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
    if (accessToken === undefined) throw new WebdistError('unauthorized', 'authorization: is not a bearer token.');
    return await grantOf(accessToken, parts);
  } catch (cause) {
    if (!hasCode(cause, 'unauthorized', 'sign_in_unavailable')) throw cause;
    if (!parts.isRequired) return {};
    if (hasCode(cause, 'sign_in_unavailable')) throw cause;
    throw new WebdistError('forbidden', 'authorization: the access token is not valid, or has ended.', { cause });
  }
}

async function grantOf(accessToken: string, { authorizationServer, signIn }: CredentialParts): Promise<Grant> {
  // Ours are encrypted, five parts; a sign-in's are signed, three.
  if (authorizationServer && accessToken.split('.').length === 5) return authorizationServer.verify(accessToken);
  if (!signIn) throw new WebdistError('unauthorized', 'authorization: is not an access token of this server.');
  const { subject } = await signIn.verify(accessToken);
  return subject === undefined ? {} : { subject: { kind: 'caller', id: subject } };
}
