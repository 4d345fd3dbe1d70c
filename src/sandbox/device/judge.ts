/**
 * The simulated device's verdict on an install link or on a token alone, and its memory of them. It compares them with
 * the account in the simulated App Store Connect and with its own clock, which faults do not change.
 */

import { z } from 'zod';
import { appOf, type TokenCheck } from '../../install-token/verify/checks.ts';
import { type TokenVerdict, verifyInstallToken } from '../../install-token/verify/verify.ts';
import type { SandboxStore } from '../state.ts';
import { type CheckResult, fail, pass, runChecks, warn } from './check.ts';
import { linkChecks, linkedToken, readLink } from './link-checks.ts';
import { historyCheck, knownFor, nonceRecord } from './token.ts';

/**
 * A link and the URL of the page on which it is tapped (the top frame), or a token alone, as in a restore. The strings
 * may have any content.
 */
export const judgeRequestSchema = z.union(
  [z.strictObject({ installUrl: z.string(), pageUrl: z.string() }), z.strictObject({ token: z.string() })],
  'expected either installUrl and pageUrl, or token; each is a string',
);
export type JudgeRequest = z.infer<typeof judgeRequestSchema>;

/** `accepted` is false if and only if a check is not ok. A warning is ok. */
export type Verdict = { readonly accepted: boolean; readonly checks: readonly CheckResult[] };

/**
 * Judges a request. The checks are in the order of the checklist. Remembers the nonce of every token whose signature
 * verifies, accepted or not, and the app once a request is accepted. Throws `state_invalid` if it cannot store them.
 */
export function judge(request: JudgeRequest, store: SandboxStore, nowMs: number): Verdict {
  const link = 'installUrl' in request ? readLink(request.installUrl, request.pageUrl, store.state) : null;
  const text = 'token' in request ? request.token : link && linkedToken(link);
  const known = knownFor(link, text ?? '', store.state, nowMs / 1000);
  const token = text == null ? undefined : verifyInstallToken(text, known);
  const app = token?.claims && appOf(token.claims, known);
  const history = token?.claims && app && historyCheck(token.claims, app.appleItemId, link !== null, store.state);
  const checks = [
    ...(link ? runChecks(linkChecks, link) : []),
    ...(token?.checks ?? []).map(resultOf),
    ...(history ? [history] : []),
  ];
  const accepted = checks.every(({ ok }) => ok);
  if (token && checks.some(({ name, ok }) => name === 'signature' && ok))
    remember(token, accepted ? app?.appleItemId : undefined, link !== null, store);
  return { accepted, checks };
}

function resultOf({ name, line, result, detail }: TokenCheck): CheckResult {
  const outcome = result === 'fail' ? fail(detail) : result === 'warn' ? warn(detail) : pass(detail);
  return { name, line, ...outcome };
}

/** `appId` is the app that is now installed; undefined if the token was refused. */
function remember(
  { header, claims }: TokenVerdict,
  appId: string | undefined,
  isFromLink: boolean,
  store: SandboxStore,
) {
  const nonce = claims?.['nonce'];
  const record = typeof nonce === 'string' ? nonceRecord(header?.['kid'], nonce) : undefined;
  const dtype = claims?.['dtype'] === 'redownload' ? 'redownload' : 'download';
  store.change(({ device }) => {
    if (record && !device.nonces.includes(record)) device.nonces.push(record);
    if (!appId) return;
    const others = device.installs.filter((install) => install.appId !== appId);
    device.installs = [...others, { appId, dtypeOfRestore: isFromLink ? dtype : null }];
  });
}
