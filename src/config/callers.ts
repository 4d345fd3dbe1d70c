/** Reads the settings of callers that prove who they are: a challenge for pages, and customers' JWTs. */

import type { Problem } from './problems.ts';
import type { Read } from './read.ts';

/** The challenge that pages answer; undefined without one. */
export function challengeOf({ values, given }: Read, problems: Problem[]) {
  const { WEBDIST_CHALLENGE: verifyUrl, WEBDIST_CHALLENGE_SECRET: secret } = values;
  const names = ['WEBDIST_CHALLENGE', 'WEBDIST_CHALLENGE_SECRET'] as const;
  const missing = names.filter((name) => !given.has(name));
  if (missing.length === names.length) return undefined;
  for (const name of missing)
    problems.push({ variable: name, message: `is required with ${names.find((other) => other !== name)}` });
  return { verifyUrl: verifyUrl ?? '', secret: secret ?? '' };
}

/** How customers' JWTs are verified; undefined if none are required. */
export function signInOf({ values, given }: Read, problems: Problem[]) {
  const { WEBDIST_AUTH_JWKS_URL: jwksUrl, WEBDIST_AUTH_ISSUER: issuer, WEBDIST_AUTH_AUDIENCE: audience } = values;
  const names = ['WEBDIST_AUTH_JWKS_URL', 'WEBDIST_AUTH_ISSUER', 'WEBDIST_AUTH_AUDIENCE'] as const;
  const missing = names.filter((name) => !given.has(name));
  if (missing.length === names.length) return undefined;
  const others = (name: string) => names.filter((other) => other !== name).join(' and ');
  for (const name of missing) problems.push({ variable: name, message: `is required with ${others(name)}` });
  const audienceClaim = values.WEBDIST_AUTH_AUDIENCE_CLAIM;
  return { jwksUrl: jwksUrl ?? '', issuer: issuer ?? '', audience: audience ?? '', audienceClaim };
}
