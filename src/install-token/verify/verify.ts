/**
 * Judges an install verification token as a device would. Compares each claim with Apple's table (docs/apple-facts.md
 * §1.2, §1.3, §10 lines 8 to 26), and gives the likely cause of each common mistake. Pure. The simulated device uses it
 * too, so the two cannot disagree.
 */

import type { JsonObject, Known, TokenCheck } from './checks.ts';
import { claimChecks } from './claims.ts';
import { headerChecks } from './header.ts';
import { parseJws } from './shape.ts';
import { keyAppCheck, signatureCheck } from './signature.ts';

/** `header` and `claims` are undefined if they could not be read. Neither is trusted. */
export type TokenVerdict = {
  readonly accepted: boolean;
  readonly header: JsonObject | undefined;
  readonly claims: JsonObject | undefined;
  readonly checks: readonly TokenCheck[];
};

/** Takes the token as text. Never throws, whatever the text is. */
export function verifyInstallToken(installToken: string, known: Known): TokenVerdict {
  const { jws, check: shape } = parseJws(installToken);
  if (!jws) return { accepted: false, header: undefined, claims: undefined, checks: [shape] };
  const signature = signatureCheck(jws, known);
  const keyApp = signature.result === 'ok' ? keyAppCheck(jws, known) : undefined;
  const checks = [
    shape,
    ...headerChecks(jws.header),
    signature,
    ...(keyApp ? [keyApp] : []),
    ...claimChecks.flatMap((check) => check(jws.claims, known, jws.header) ?? []),
  ];
  const accepted = checks.every(({ result }) => result !== 'fail');
  return { accepted, header: jws.header, claims: jws.claims, checks };
}
