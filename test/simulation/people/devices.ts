/** What devices send after an install: for access tokens, restores and updates (docs/apple-facts.md §3). */

import { type Device, deviceOf } from '../facts.ts';
import type { Fleet, Replica } from '../fleet.ts';
import { examine } from '../invariants.ts';
import { trueTime } from '../world/scheduler.ts';
import { describe, send } from './send.ts';
import { showToken } from './token.ts';

const PREFIX = 'urn:ietf:params:oauth:grant-type:';

/** Exchanges the token of the last link. */
export async function exchange(fleet: Fleet, replica: Replica, deviceId: string): Promise<void> {
  const device = deviceOf(fleet.facts, deviceId);
  const { link } = device;
  if (!link) return;
  const form = { grant_type: `${PREFIX}token-exchange`, subject_token: link.subjectToken };
  const granted = await tokenRequest(fleet, replica, device, { grant: 'link', token: link.subjectToken, form });
  if (granted) device.access = { ...granted, link };
}

/** Uses its refresh token. */
export async function refresh(fleet: Fleet, replica: Replica, deviceId: string): Promise<void> {
  const device = deviceOf(fleet.facts, deviceId);
  const token = device.access?.refreshToken;
  if (token === undefined) return;
  const form = { grant_type: 'refresh_token', refresh_token: token };
  const granted = await tokenRequest(fleet, replica, device, { grant: 'refresh', token, form });
  if (granted) device.access = { ...granted, link: undefined };
}

async function tokenRequest(
  fleet: Fleet,
  replica: Replica,
  device: Device,
  { grant, token, form }: { readonly grant: 'link' | 'refresh'; readonly token: string; readonly form: object },
) {
  const answer = await send(fleet, replica, { method: 'POST', url: '/oauth/token', form }, ({ status }, receivedAt) => {
    if (status !== 200 && status !== 400) return;
    const process = `${replica.name}, start ${replica.starts}`;
    examine(fleet, 'onGrant', { grant, token, device, process, isGranted: status === 200, receivedAt });
  });
  fleet.note(device.id, `requests an access token from ${replica.name} with its ${grant} token: ${describe(answer)}`);
  if (answer?.status !== 200) return undefined;
  const { access_token, refresh_token } = answer.body;
  return { accessToken: String(access_token), refreshToken: String(refresh_token) };
}

/** Requests the app, or a newer version of it, with its access token. */
export async function requestApps(
  fleet: Fleet,
  replica: Replica,
  deviceId: string,
  request: 'restore' | 'update',
): Promise<void> {
  const device = deviceOf(fleet.facts, deviceId);
  const { access, link } = device;
  if (!access) return;
  const appleVersionId = link?.vid ?? fleet.packages.version(1);
  const sent = {
    method: 'POST',
    url: request === 'restore' ? '/marketplace-kit/restore' : '/marketplace-kit/updates',
    headers: { authorization: `Bearer ${access.accessToken}` },
    body: { apps: [{ appleItemId: fleet.apple.app.id, appleVersionId }], platform: 'ios', osVersion: '18.5' },
  } as const;
  if (request === 'restore') device.evidenceSentAt ??= trueTime();
  const answer = await send(fleet, replica, sent, ({ status, body }, receivedAt) => {
    if (status !== 200) return;
    const [app] = (body['restores'] ?? body['updates']) as { installVerificationToken: string }[];
    if (!app) return;
    showToken(fleet, { installToken: app.installVerificationToken, replica, device, request, receivedAt });
  });
  fleet.note(
    deviceId,
    `requests a${request === 'update' ? 'n' : ''} ${request} from ${replica.name}: ${describe(answer)}`,
  );
}
