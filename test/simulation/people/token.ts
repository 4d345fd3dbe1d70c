/** A token that left a replica is shown to the invariants. */

import type { Device } from '../facts.ts';
import type { Fleet, Replica } from '../fleet.ts';
import { examine } from '../invariants.ts';
import { trueTime } from '../world/scheduler.ts';

type Received = {
  readonly installToken: string;
  readonly replica: Replica;
  /** Undefined if the replica cannot know it yet. */
  readonly device: Device | undefined;
  readonly request: 'visit' | 'restore' | 'update';
  readonly receivedAt: number;
};

export function showToken(fleet: Fleet, { installToken, replica, device, request, receivedAt }: Received): void {
  const { facts, choices } = fleet;
  facts.tokens += 1;
  const [header, claims] = installToken.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  const { kid } = JSON.parse(header ?? '');
  const { dtype, nonce, iat, exp, vid } = JSON.parse(claims ?? '');
  if (choices.audits) facts.unaudited.set(nonce, { replica: replica.name, sentAt: trueTime() });
  examine(fleet, 'onToken', {
    replica: replica.name,
    device,
    request,
    installToken,
    keyId: kid,
    dtype,
    nonce,
    iat,
    exp,
    vid,
    receivedAt,
    sentAt: trueTime(),
  });
}
