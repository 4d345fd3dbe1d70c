/** The promises about access tokens, restores and updates. */

import { calmMs } from '../facts.ts';
import { trueTime } from '../world/scheduler.ts';
import { type Invariant, seconds, slackMs } from './invariant.ts';

/** Redis must have worked for this long before it knows the uses on other replicas. */
const REDIS_MS = 70_000;

export const deviceInvariants: readonly Invariant[] = [
  {
    name: 'links are exchanged',
    promise: 'The token of a link is exchanged for an access token until the link expires, by every replica.',
    onGrant(fleet, { grant, device, token, isGranted, receivedAt }) {
      if (grant === 'refresh' || isGranted || device.link?.subjectToken !== token) return undefined;
      const leftMs = device.link.untilMs - receivedAt - slackMs(fleet);
      return leftMs > 2000 ? `it was refused to ${device.id} ${seconds(leftMs)} before the end` : undefined;
    },
  },
  {
    name: 'refresh tokens work once',
    promise:
      'A refresh token works once, in one process; with Redis, in all replicas. A second use ends what the first began.',
    onGrant({ facts, choices }, { grant, token, device, process, isGranted }) {
      if (grant !== 'refresh' || !isGranted) return undefined;
      const uses = facts.refreshed.get(token) ?? [];
      facts.refreshed.set(token, [...uses, { process, at: trueTime() }]);
      const isShared = (at: number) => choices.usesRedis && calmMs(facts) > trueTime() - at + REDIS_MS;
      const again = uses.find((use) => use.process === process || isShared(use.at));
      return again ? `that of ${device.id} worked at ${again.process} and at ${process}` : undefined;
    },
  },
  {
    name: 'restores belong to their link',
    promise: 'Until the token of a link expires, a restore with its access token has the `dtype` of the link.',
    onToken(fleet, { request, device, dtype, receivedAt }) {
      const link = device?.access?.link;
      if (request !== 'restore' || !link || receivedAt > link.untilMs - 2000 - slackMs(fleet)) return undefined;
      return dtype === link.dtype ? undefined : `the link of ${device?.id} had "${link.dtype}", its restore "${dtype}"`;
    },
  },
];
