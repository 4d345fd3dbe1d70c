/**
 * Checks that App Store Connect can be reached, that its clock agrees with ours, and that it accepts this API key. Each
 * kind of refusal has its own check.
 */

import type { ErrorCode } from '../errors.ts';
import type { AppleAccount } from './apple-account.ts';
import { type Check, type Finding, fail, ok, privateCheck, warn } from './check.ts';

const LARGE_OFFSET_SECONDS = 30;
const SMALL_OFFSET_SECONDS = 2;

/** The order in which App Store Connect refuses: a refusal for one reason proves that the earlier reasons do not apply. */
const stages = ['asc_outage', 'asc_clock', 'asc_credentials', 'asc_rate', 'asc_agreement', 'asc_role'] as const;

function refusal(code: (typeof stages)[number], fine: string) {
  return ({ problem }: AppleAccount): Finding | undefined => {
    if (!problem) return ok(fine);
    if (problem.code === code) return fail(problem.detail, problem.hint);
    const known: readonly ErrorCode[] = stages;
    const isPassed = !known.includes(problem.code) || known.indexOf(problem.code) > known.indexOf(code);
    return isPassed ? ok(fine) : undefined;
  };
}

const check = (id: string, why: string, judge: (account: AppleAccount) => Finding | undefined): Check =>
  privateCheck(id, why, async ({ appleAccount }) => {
    const account = await appleAccount();
    return account && judge(account);
  });

export const appleChecks: readonly Check[] = [
  check(
    'api-reachable',
    'App Store Connect supplies the id of the key that signs.',
    refusal('asc_outage', 'reachable'),
  ),
  check(
    'clock',
    'With a wrong clock, devices refuse tokens from the future, and Apple refuses expired API tokens.',
    (account) => {
      const offset = account.clockOffsetSeconds;
      if (offset === undefined) return undefined;
      const found = `this machine's clock is ${Math.abs(offset)} s ${offset < 0 ? 'ahead of' : 'behind'} Apple's`;
      const hint = 'Turn on NTP: timedatectl set-ntp true';
      if (Math.abs(offset) > LARGE_OFFSET_SECONDS) return fail(found, hint);
      return Math.abs(offset) > SMALL_OFFSET_SECONDS ? warn(found, hint) : ok('agrees with Apple’s clock');
    },
  ),
  check(
    'api-credentials',
    'Key id, issuer id and .p8 must belong together, and the key must not be revoked.',
    refusal('asc_credentials', 'the API key is accepted'),
  ),
  check('api-rate', 'App Store Connect refuses requests beyond the hourly limit.', (account) => {
    const { rateLimit } = account;
    const remaining = rateLimit ? `${rateLimit.remaining} of ${rateLimit.limit} requests left` : 'limit not reported';
    const isLow = rateLimit && rateLimit.remaining * 10 < rateLimit.limit;
    return isLow && account.problem?.code !== 'asc_rate'
      ? warn(
          `only ${rateLimit.remaining} of ${rateLimit.limit} requests are left in this hour`,
          'Find the other program that uses this API key, or give webdist its own key.',
        )
      : refusal('asc_rate', remaining)(account);
  }),
  check(
    'api-agreement',
    'While an agreement with Apple is pending, the API refuses every request.',
    refusal('asc_agreement', 'no agreement is pending'),
  ),
  check(
    'api-role',
    'The API key needs a role that may read and add keys and domains. The role Admin may; Apple does not document which lesser roles may.',
    refusal('asc_role', 'the API key may read apps, keys and domains'),
  ),
  check('api-answer', 'The answers must match Apple’s description of the API.', ({ problem }) => {
    if (!problem) return ok('every answer was understood');
    const known: readonly ErrorCode[] = stages;
    return known.includes(problem.code) ? undefined : fail(problem.detail, problem.hint);
  }),
];
