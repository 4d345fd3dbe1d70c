/** The facts that the simulated device compares an install verification token with, and its memory of tokens. */

import { createPublicKey } from 'node:crypto';
import type { JsonObject, Known, KnownApp, KnownKey } from '../../install-token/verify/checks.ts';
import { parseJws } from '../../install-token/verify/shape.ts';
import type { Package, SandboxState } from '../state.ts';
import { type CheckResult, pass, warn } from './check.ts';

/** The package that a link names, and the team that has registered the page's domain, if they are known. */
export type LinkFacts = { readonly linked: Package | undefined; readonly team: string | undefined };

/**
 * Returns the facts that a token is compared with: the apps and keys of the team that has registered the page's domain;
 * for a token alone (null), those of the team whose key `kid` names; or those of all teams if there is no such team.
 */
export function knownFor(link: LinkFacts | null, token: string, state: SandboxState, nowSeconds: number): Known {
  const kid = link ? undefined : parseJws(token).jws?.header['kid'];
  const owner = link ? link.team : state.keys.find(({ id }) => id === kid)?.team;
  const isOfTeam = ({ team }: { team: string }) => owner === undefined || team === owner;
  const apps = state.apps.filter(isOfTeam).map(({ id, bundleId }): KnownApp => {
    const packages = state.packages.filter(({ appleItemId }) => appleItemId === id);
    return { appleItemId: id, bundleId, appleVersionIds: packages.map(({ appleVersionId }) => appleVersionId) };
  });
  const linked = link?.linked;
  return {
    apps,
    linked: linked && { ...linked, appleVersionIds: [linked.appleVersionId] },
    keys: state.keys.filter(isOfTeam).map(({ id, spki, appId, team }): KnownKey => {
      const ofTeam = state.apps.filter((app) => app.team === team).map((app) => app.id);
      return {
        keyId: id,
        publicKey: createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' }),
        source: 'App Store Connect',
        apps: appId === null ? ofTeam : [appId],
      };
    }),
    isUsed: (kid, nonce) => state.device.nonces.includes(nonceRecord(kid, nonce)),
    nowSeconds,
  };
}

/** The form in which a nonce is stored, separately for each key. */
export const nonceRecord = (kid: unknown, nonce: string): string => `${String(kid)} ${nonce.toUpperCase()}`;

const HISTORY = { name: 'dtype history', line: 20 };

/**
 * Whether `dtype` agrees with the history of this device (docs/apple-facts.md §10 line 20). A disagreement is only a
 * warning.
 */
export function historyCheck(
  { dtype }: JsonObject,
  appleItemId: string,
  isFromLink: boolean,
  { device }: SandboxState,
): CheckResult | undefined {
  if (dtype !== 'download' && dtype !== 'redownload') return undefined;
  const install = device.installs.find(({ appId }) => appId === appleItemId);
  if (install && !isFromLink && install.dtypeOfRestore === dtype)
    return { ...HISTORY, ...pass(`the restore that follows the link has the same dtype, ${dtype}`) };
  const had = install ? 'had' : 'never had';
  const expected = install ? 'redownload' : 'download';
  return {
    ...HISTORY,
    ...(dtype === expected
      ? pass(`this device ${had} the app`)
      : warn(`dtype is ${dtype}, but this device ${had} the app: expected ${expected}`)),
  };
}
