/**
 * Ages an install link, as if the page had kept it for too long: the same claims with earlier times, signed again with
 * the sandbox's distribution key. For the demo page.
 */

import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { WebdistError } from '../../errors.ts';
import { signCompact, signingKey } from '../../jws.ts';
import type { Sandbox } from '../sandbox.ts';

const headerSchema = z.strictObject({ alg: z.literal('ES256'), kid: z.string(), typ: z.literal('JWT') });
const payloadSchema = z.looseObject({ iat: z.int(), exp: z.int() });

/** Returns the link with `iat` and `exp` moved back. Throws `invalid_request` if it has no readable token. */
export async function agedInstallUrl(installUrl: string, ageSeconds: number, sandbox: Sandbox): Promise<string> {
  const token = /[?&]installVerificationToken=([\w.-]+)/.exec(installUrl)?.[1];
  const [header, payload] = (token ?? '').split('.').map(readPart);
  const [knownHeader, claims] = [headerSchema.safeParse(header), payloadSchema.safeParse(payload)];
  if (!token || !knownHeader.success || !claims.success)
    throw new WebdistError('invalid_request', 'installUrl: does not contain an install verification token.');
  const key = createPrivateKey(readFileSync(new URL(sandbox.settings['WEBDIST_KEY'] ?? '')));
  const signer = {
    backend: 'sandbox',
    sign: (data: Uint8Array) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
  };
  const { iat, exp } = claims.data;
  const aged = { ...claims.data, iat: iat - ageSeconds, exp: exp - ageSeconds };
  return installUrl.replace(token, await signCompact(signingKey(signer, knownHeader.data.kid), aged));
}

function readPart(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return undefined; // The schema refuses it.
  }
}
