/** Visitors with their devices, and the licence server. */

import { type Device, deviceOf } from '../facts.ts';
import { API_KEY, type Fleet, type Replica } from '../fleet.ts';
import { trueTime } from '../world/scheduler.ts';
import { type Answered, describe, type Sent, send } from './send.ts';
import { showToken } from './token.ts';

/** A device requests a token for the install button. Returns whether it got one. */
export async function visit(fleet: Fleet, replica: Replica, deviceId: string): Promise<boolean> {
  const { facts, note } = fleet;
  const device = deviceOf(facts, deviceId);
  const headers = device.cookie === undefined ? {} : { cookie: device.cookie };
  const sent: Sent = { method: 'POST', url: '/install-token', body: {}, headers };
  // A device that has no cookie yet is a new one for each request.
  const isKnown = device.cookie !== undefined;
  const answer = await send(fleet, replica, sent, ({ status, body }, receivedAt) => {
    if (status !== 200) return;
    const installToken = String(body['token']);
    showToken(fleet, { installToken, replica, device: isKnown ? device : undefined, request: 'visit', receivedAt });
  });
  note(deviceId, `requests a token from ${replica.name}: ${describe(answer)}`);
  if (answer?.status !== 200) return false;
  // It sent two requests before it had a cookie, so the data of the second one is forgotten.
  if (!isKnown && device.cookie !== undefined) return false;
  device.cookie ??= answer.cookie;
  device.nonce = String(answer.body['nonce']);
  // The answer may have been in transit for months.
  device.tokenAt = Math.min(trueTime(), Date.parse(String(answer.body['expiresAt'])));
  device.link = linkOf(answer.body);
  return true;
}

/** The parts of an install URL that a device keeps. */
function linkOf(body: Answered['body']): Device['link'] {
  if (body['installUrl'] === undefined) return undefined;
  const { token, installVerificationToken = '' } = Object.fromEntries(new URL(String(body['installUrl'])).searchParams);
  const { vid } = JSON.parse(Buffer.from(installVerificationToken.split('.')[1] ?? '', 'base64url').toString());
  const dtype = String(body['dtype']);
  return token ? { subjectToken: token, dtype, untilMs: Date.parse(String(body['expiresAt'])), vid } : undefined;
}

/** The page reports a tap on the button, or the licence server confirms the install. */
export async function sendEvidence(fleet: Fleet, replica: Replica, deviceId: string, by: 'page' | 'licence server') {
  const { facts, note, choices } = fleet;
  const device = deviceOf(facts, deviceId);
  const { nonce, cookie, tokenAt } = device;
  if (nonce === undefined || cookie === undefined) return;
  const headers = by === 'page' ? { cookie } : { authorization: `Bearer ${API_KEY}` };
  const counts = by === 'licence server' || choices.evidence === 'tap';
  if (counts) device.evidenceSentAt ??= trueTime();
  const answer = await send(
    fleet,
    replica,
    { method: 'POST', url: '/installs', body: { nonce }, headers },
    ({ status }) => {
      // Later evidence is silently ignored; near the limit, the outcome depends on the replica's clock.
      const isInTime = trueTime() - tokenAt < 22 * 3_600_000;
      if (status === 204 && counts && isInTime) device.evidenceStoredAt ??= trueTime();
    },
  );
  note(by, `reports the install of ${deviceId} to ${replica.name}: ${answer?.status ?? 'no answer'}`);
}

/** The page of another device reports a nonce that was not issued to it, which must change nothing. */
export async function sendStolen(fleet: Fleet, replica: Replica, thiefId: string, ownerId: string): Promise<void> {
  const { nonce } = deviceOf(fleet.facts, ownerId);
  const { cookie } = deviceOf(fleet.facts, thiefId);
  if (nonce === undefined || cookie === undefined || thiefId === ownerId) return;
  const answer = await send(fleet, replica, { method: 'POST', url: '/installs', body: { nonce }, headers: { cookie } });
  fleet.note(thiefId, `reports the nonce of ${ownerId} to ${replica.name}: ${answer?.status ?? 'no answer'}`);
}
