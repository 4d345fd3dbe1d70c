/** The promises about single tokens. */

import { verify } from 'node:crypto';
import { calmMs, storeCalmMs } from '../facts.ts';
import { trueTime } from '../world/scheduler.ts';
import { gapMs, type Invariant, seconds, slackMs } from './invariant.ts';

const second = (ms: number) => Math.floor(ms / 1000) * 1000;

export const tokensInvariants: readonly Invariant[] = [
  {
    name: 'registered key',
    promise:
      'A token is signed under a key that is registered at Apple, except within one interval of checks after a person removed it, or while Apple or the store cannot be reached.',
    onToken(fleet, { keyId, sentAt, replica }) {
      const known = fleet.apple.history.get(keyId);
      if (!known) return `the key id ${keyId} was never registered`;
      if (known.until === undefined) return undefined;
      const { facts } = fleet;
      const wasFollowed =
        storeCalmMs(facts, facts.rotatedAt, replica) > 10_000 && storeCalmMs(facts, sentAt, replica) > 0;
      const wasClean = known.removedBy.startsWith('operator') && wasFollowed;
      const lateMs = sentAt - Math.max(known.until, facts.faults.size > 0 ? trueTime() : facts.troubledAt);
      if (wasClean && sentAt > known.until)
        return `the rotation had removed its key ${seconds(sentAt - known.until)} before`;
      return lateMs > gapMs(fleet) ? `${known.removedBy} had removed its key ${seconds(lateMs)} before` : undefined;
    },
  },
  {
    name: 'good signatures',
    promise: 'The signature of a token is that of the key that was registered under its key id.',
    onToken({ apple }, { installToken, keyId }) {
      const known = apple.history.get(keyId);
      const [, data = '', signature = ''] = /^(.*)\.([^.]*)$/.exec(installToken) ?? [];
      const key = known && ({ key: known.publicKey, dsaEncoding: 'ieee-p1363' } as const);
      return key && verify('sha256', Buffer.from(data), key, Buffer.from(signature, 'base64url'))
        ? undefined
        : `the signature under ${keyId} does not verify`;
    },
  },
  {
    name: 'redownload after evidence',
    promise: 'A device whose install was acknowledged gets `redownload` once a token lifetime has passed, for ever.',
    onToken(fleet, { device, dtype, request, receivedAt }) {
      const stored = device?.evidenceStoredAt;
      // A restore can belong to a link.
      if (request === 'restore' && receivedAt < (device?.access?.link?.untilMs ?? 0) + slackMs(fleet)) return undefined;
      if (stored === undefined || dtype === 'redownload') return undefined;
      const lateMs = second(receivedAt) - second(stored) - fleet.choices.lifetimeSeconds * 1000 - slackMs(fleet);
      return lateMs >= 0
        ? `${device?.id} got "${dtype}" ${seconds(receivedAt - stored)} after its evidence was stored`
        : undefined;
    },
  },
  {
    name: 'download before evidence',
    promise:
      'A device that sent no evidence gets `download`, unless the ledger cannot answer and tokens are issued without it.',
    onToken(fleet, { device, dtype, request, receivedAt }) {
      // Updates are always redownloads, and a restore can belong to a link.
      if (!device || dtype === 'download' || request === 'update' || device.access?.link?.dtype === dtype)
        return undefined;
      const sent = device.evidenceSentAt;
      const { lifetimeSeconds } = fleet.choices;
      const isEarly = sent === undefined || receivedAt < sent + (lifetimeSeconds - 2) * 1000 - slackMs(fleet);
      const isLedgerKnown = fleet.choices.whenDown === 'refuse' || calmMs(fleet.facts, receivedAt) > 15_000;
      return isEarly && isLedgerKnown ? `${device.id} got "${dtype}" although its install does not count` : undefined;
    },
  },
  {
    name: 'unique nonces',
    promise: 'No nonce is used twice.',
    onToken({ facts }, { nonce }) {
      if (facts.nonces.has(nonce)) return `the nonce ${nonce} was used before`;
      facts.nonces.add(nonce);
      return undefined;
    },
  },
  {
    name: 'dated by a good clock',
    promise:
      'A token is never dated more than a few seconds ahead of Apple’s clock once a check has shown the difference, and lives as long as it says.',
    onToken(fleet, { iat, exp, sentAt }) {
      if (exp - iat !== fleet.choices.lifetimeSeconds) return `it lives for ${exp - iat} s`;
      const aheadMs = iat * 1000 - sentAt;
      return aheadMs > 3000 && calmMs(fleet.facts) > gapMs(fleet)
        ? `it is dated ${seconds(aheadMs)} in the future`
        : undefined;
    },
  },
];
