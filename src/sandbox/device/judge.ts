/**
 * The simulated device's verdict on an install link or on a token alone, and what it remembers of both. It compares them
 * with the account in the simulated App Store Connect and with its own clock, to which faults do not apply.
 */

import { z } from 'zod';
import type { SandboxStore } from '../state.ts';
import { type CheckResult, runChecks } from './check.ts';
import { linkChecks, linkedToken, readLink } from './link-checks.ts';
import { type ExaminedToken, examineToken, nonceRecord } from './token.ts';
import { tokenChecks } from './token-checks.ts';

/**
 * A link and the URL of the page on which it is tapped (the top frame), or a token alone, as in a restore. All plain
 * strings with any content.
 */
export const judgeRequestSchema = z.union([
  z.strictObject({ installUrl: z.string(), pageUrl: z.string() }),
  z.strictObject({ token: z.string() }),
]);
export type JudgeRequest = z.infer<typeof judgeRequestSchema>;

/** `accepted` is false exactly when a check is not ok; a warning is ok. */
export type Verdict = { readonly accepted: boolean; readonly checks: readonly CheckResult[] };

/** Lines in the rejection checklist (docs/apple-facts.md §10) by the name of the check. */
export const checklistLines: Readonly<Record<string, number>> = Object.fromEntries(
  [...linkChecks, ...tokenChecks].map(([name, line]) => [name, line]),
);

/**
 * Judges a request; the checks are in the order of the checklist. Remembers the nonce of every token whose signature
 * verifies, accepted or not, and the app once a request is accepted. Throws `state_invalid` if it cannot store them.
 */
export function judge(request: JudgeRequest, store: SandboxStore, nowMs: number): Verdict {
  const link = 'installUrl' in request ? readLink(request.installUrl, request.pageUrl, store.state) : null;
  const text = 'token' in request ? request.token : link && linkedToken(link);
  const token = text == null ? undefined : examineToken(text, link, store.state, nowMs / 1000);
  const checks = [...(link ? runChecks(linkChecks, link) : []), ...(token ? runChecks(tokenChecks, token) : [])];
  const accepted = checks.every(({ ok }) => ok);
  if (token && checks.some(({ name, ok }) => name === 'signature' && ok)) remember(token, accepted, store);
  return { accepted, checks };
}

function remember(token: ExaminedToken, accepted: boolean, store: SandboxStore): void {
  const nonce = nonceRecord(token);
  const dtype = token.jws?.payload['dtype'] === 'redownload' ? 'redownload' : 'download';
  store.change(({ device }) => {
    if (nonce && !device.nonces.includes(nonce)) device.nonces.push(nonce);
    const appId = token.app?.id;
    if (!accepted || !appId) return;
    const others = device.installs.filter((install) => install.appId !== appId);
    device.installs = [...others, { appId, dtypeOfRestore: token.isFromLink ? dtype : null }];
  });
}
