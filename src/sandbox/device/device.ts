/**
 * The simulated iPhone: what it says of an install link or of a token alone, and what it remembers. It looks at the
 * account as the simulated App Store Connect holds it, and at its own clock, which no fault shifts.
 */

import { z } from 'zod';
import type { Store } from '../state.ts';
import { type CheckResult, runChecks } from './check.ts';
import { linkChecks, linkedToken, readLink } from './link-checks.ts';
import { nonceRecord, readToken, type SeenToken } from './token.ts';
import { tokenChecks } from './token-checks.ts';

/**
 * A link with the address of the page it is tapped on (its top frame), or a token alone, as a restore gives it.
 * All plain strings of any content.
 */
export const deviceRequestSchema = z.union([
  z.strictObject({ installUrl: z.string(), pageUrl: z.string() }),
  z.strictObject({ token: z.string() }),
]);
export type DeviceRequest = z.infer<typeof deviceRequestSchema>;

/**
 * `accepted` is false exactly when a check is not ok; a warning is ok. A check that needs something another check
 * found missing or unreadable is left out.
 */
export type Verdict = { readonly accepted: boolean; readonly checks: readonly CheckResult[] };

/**
 * Judges, in the order of the checklist. Remembers the nonce of every token whose signature verifies, refused or not,
 * and the app once a request is accepted. Throws `state_invalid` when it cannot remember.
 */
export function judge(request: DeviceRequest, store: Store, nowMs: number): Verdict {
  const link = 'installUrl' in request ? readLink(request.installUrl, request.pageUrl, store.state) : null;
  const token = 'token' in request ? request.token : link && linkedToken(link);
  const seen = token == null ? undefined : readToken(token, link, store.state, nowMs / 1000);
  const checks = [...(link ? runChecks(linkChecks, link) : []), ...(seen ? runChecks(tokenChecks, seen) : [])];
  const accepted = checks.every(({ ok }) => ok);
  if (seen && checks.some(({ name, ok }) => name === 'signature' && ok)) remember(seen, accepted, store);
  return { accepted, checks };
}

function remember(seen: SeenToken, accepted: boolean, store: Store): void {
  const nonce = nonceRecord(seen);
  const dtype = seen.jws?.payload['dtype'] === 'redownload' ? 'redownload' : 'download';
  store.change(({ device }) => {
    if (nonce && !device.nonces.includes(nonce)) device.nonces.push(nonce);
    const appId = seen.app?.id;
    if (!accepted || !appId) return;
    const others = device.installs.filter((install) => install.appId !== appId);
    device.installs = [...others, { appId, dtypeOfRestore: seen.isFromLink ? dtype : null }];
  });
}
