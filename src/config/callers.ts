/** Reads the settings of callers that prove who they are: a challenge for pages, and customers' JWTs. */

import type { Problem } from './problems.ts';
import type { Read } from './read.ts';
import type { SettingName } from './settings.ts';

/** The challenge that pages answer; undefined without one. */
export function challengeOf(read: Read, problems: Problem[]) {
  if (!isAnySet(['WEBDIST_CHALLENGE', 'WEBDIST_CHALLENGE_SECRET'], read, problems)) return undefined;
  const { WEBDIST_CHALLENGE: verifyUrl, WEBDIST_CHALLENGE_SECRET: secret } = read.values;
  return { verifyUrl: verifyUrl ?? '', secret: secret ?? '' };
}

/** How customers' JWTs are verified; undefined if none are required. */
export function signInOf(read: Read, problems: Problem[]) {
  const names = ['WEBDIST_AUTH_JWKS_URL', 'WEBDIST_AUTH_ISSUER', 'WEBDIST_AUTH_AUDIENCE'] as const;
  if (!isAnySet(names, read, problems)) return undefined;
  const { WEBDIST_AUTH_JWKS_URL: jwksUrl, WEBDIST_AUTH_ISSUER: issuer, WEBDIST_AUTH_AUDIENCE: audience } = read.values;
  const audienceClaim = read.values.WEBDIST_AUTH_AUDIENCE_CLAIM;
  return { jwksUrl: jwksUrl ?? '', issuer: issuer ?? '', audience: audience ?? '', audienceClaim };
}

/** Whether any of these settings is set. Each then needs all others: a missing one is a problem. */
function isAnySet(names: readonly SettingName[], { given }: Read, problems: Problem[]): boolean {
  const missing = names.filter((name) => !given.has(name));
  if (missing.length === names.length) return false;
  for (const name of missing) {
    const others = names.filter((other) => other !== name).join(' and ');
    problems.push({ variable: name, message: `is required with ${others}` });
  }
  return true;
}
