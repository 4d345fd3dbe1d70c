/** Whether App Store Connect can be asked: reached, let in, with the rights, in time. Each refusal has a check of its own. */

import type { ErrorCode } from '../errors.ts';
import { type Check, type Finding, fail, ok, warn } from './check.ts';
import type { Apple } from './facts.ts';

const LARGE_OFFSET_SECONDS = 30;
const SMALL_OFFSET_SECONDS = 2;

/** What App Store Connect must have passed before a later check says something: the order in which it refuses. */
const stages = ['asc_outage', 'asc_clock', 'asc_credentials', 'asc_rate', 'asc_agreement', 'asc_role'] as const;

function refusal(code: (typeof stages)[number], fine: string) {
  return ({ problem }: Apple): Finding | undefined => {
    if (!problem) return ok(fine);
    if (problem.code === code) return fail(problem.detail, problem.hint);
    const known: readonly ErrorCode[] = stages;
    const passed = !known.includes(problem.code) || known.indexOf(problem.code) > known.indexOf(code);
    return passed ? ok(fine) : undefined;
  };
}

const check = (id: string, why: string, judge: (apple: Apple) => Finding | undefined): Check => ({
  id,
  section: 'private',
  why,
  async look({ apple }) {
    const said = await apple();
    return said && judge(said);
  },
});

export const appleChecks: readonly Check[] = [
  check('api-reachable', 'App Store Connect tells under which id the key signs.', refusal('asc_outage', 'it answers')),
  check('clock', 'A token from the future is refused by devices, a bearer from the past by Apple.', (apple) => {
    const offset = apple.clockOffsetSeconds;
    if (offset === undefined) return undefined;
    const words = `this machine's clock is ${Math.abs(offset)} s ${offset < 0 ? 'ahead of' : 'behind'} Apple's`;
    const hint = 'Switch on NTP: timedatectl set-ntp true';
    if (Math.abs(offset) > LARGE_OFFSET_SECONDS) return fail(words, hint);
    return Math.abs(offset) > SMALL_OFFSET_SECONDS ? warn(words, hint) : ok('agrees with Apple’s');
  }),
  check(
    'api-credentials',
    'Key id, issuer id and .p8 have to belong together and not be revoked.',
    refusal('asc_credentials', 'the API key is accepted'),
  ),
  check('api-rate', 'Beyond the hourly limit App Store Connect answers nothing.', (apple) => {
    const { rateLimit } = apple;
    const finding = refusal('asc_rate', rateLimit ? `${rateLimit.remaining} of ${rateLimit.limit} left` : 'not said');
    return rateLimit && rateLimit.remaining * 10 < rateLimit.limit && apple.problem?.code !== 'asc_rate'
      ? warn(
          `only ${rateLimit.remaining} of ${rateLimit.limit} requests are left in this hour`,
          'Find the other program that uses this API key, or give webdist one of its own.',
        )
      : finding(apple);
  }),
  check(
    'api-agreement',
    'While an agreement with Apple is pending, the API refuses everything.',
    refusal('asc_agreement', 'no agreement is pending'),
  ),
  check(
    'api-role',
    'Reading and adding keys and domains needs a role that may: Admin is safe, weaker ones are not documented.',
    refusal('asc_role', 'the API key may read apps, keys and domains'),
  ),
  check('api-answer', 'What App Store Connect answers has to be what its API describes.', ({ problem }) => {
    if (!problem) return ok('every answer was understood');
    const known: readonly ErrorCode[] = stages;
    return known.includes(problem.code) ? undefined : fail(problem.detail, problem.hint);
  }),
];
