/**
 * The simulated device, with the actions of its user: install from a link, update, delete and reinstall, restore from a
 * backup (docs/apple-facts.md §2, §3, §5.4, §10). Like a device, it fetches everything over HTTP. `judge.ts` judges
 * links and install tokens. The code is written from those facts alone.
 */

import { type ComparedClaims, compareClaims, fetchPackage } from './fetch-package.ts';
import { type AcceptedToken, type Recorder, record, refusal } from './journey.ts';
import type { JudgeRequest, Verdict } from './judge.ts';
import { type DeviceProfile, defaultProfile, eligibility } from './profile.ts';
import { type AppIds, openSession, type RestoreEntry } from './session.ts';
import { openWebsiteClient } from './website-client.ts';

export type DeviceOptions = {
  /** URL at which the website can be reached from here. Every request for the website's host is sent to it. */
  readonly website: string;
  /** The domain registered at App Store Connect; pages and packages may be on a subdomain of it. */
  readonly domain: string;
  /** Returns the verdict on a link or a token. */
  readonly judge: (request: JudgeRequest) => Promise<Verdict>;
  readonly fetch?: typeof fetch;
  readonly profile?: Partial<DeviceProfile>;
  /** Time limit for the licence request; Apple's is 60. */
  readonly licenseSeconds?: number;
};

/**
 * Opens a device without apps. Do not run two journeys of one device at the same time. Each returns its steps. A
 * refusal is a result, not an error.
 */
export function openDevice(options: DeviceOptions) {
  const profile = { ...defaultProfile, ...options.profile };
  const site = openWebsiteClient(options);
  const session = openSession(site, profile);
  const installed = new Map<string, AppIds>();

  const judgeToken = async (journey: Recorder, place: AcceptedToken['place'], request: JudgeRequest, token: string) => {
    const verdict = await options.judge(request);
    const bad = verdict.checks.find(({ ok }) => !ok);
    if (bad) throw refusal(bad.line, bad.name, bad.detail);
    const { dtype = '', nonce = '' } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const warned = verdict.checks.filter(({ warning }) => warning).map(({ name, detail }) => `${name}: ${detail}`);
    journey.tokens.push({ place, dtype, nonce });
    return [`${verdict.checks.length} checks pass, dtype ${dtype}`, ...warned].join('; ');
  };

  /** Installs one entry of a restore or updates answer. */
  const installEntry = async (journey: Recorder, place: AcceptedToken['place'], entry: RestoreEntry) => {
    const { appleItemId, appleVersionId, installVerificationToken: token } = entry;
    await journey.step(`${place} token`, async () => {
      if (token === '')
        throw refusal(30, 'missingInstallVerificationToken', `the entry of ${appleItemId} has no token`);
      return judgeToken(journey, place, { token }, token);
    });
    await journey.step('package address', async () => site.checkPackageUrl(entry.alternativeDistributionPackage));
    await journey.step('package', () => fetchPackage(site, entry, profile, claimsIn(token)));
    installed.set(appleItemId, { appleItemId, appleVersionId });
    await journey.step('installed', async () => `${appleItemId}, version ${appleVersionId}, is on the device`);
  };

  const restore = async (journey: Recorder, wanted: AppIds, isFromLink: boolean) => {
    const { restore: url } = await site.configuration(wanted.appleItemId);
    const entry = await journey.step('restore', async () => {
      const { restores = [], failures = [] } = await session.request('restore', [wanted], url);
      const found = restores.find(({ appleItemId }) => appleItemId === wanted.appleItemId);
      const failure = failures.find(({ appleItemId }) => appleItemId === wanted.appleItemId);
      if (failure) throw refusal(30, 'App Not Available', failure.failure.description);
      if (!found) throw refusal(30, 'restore', `the answer has no entry for ${wanted.appleItemId}`);
      if (isFromLink && found.appleVersionId !== wanted.appleVersionId)
        throw refusal(
          30,
          'restore',
          `got version ${found.appleVersionId}, but the link is for ${wanted.appleVersionId}`,
        );
      return [`version ${found.appleVersionId}`, found] as const;
    });
    await installEntry(journey, 'restore', entry);
  };

  const license = async (journey: Recorder, { appleItemId, appleVersionId }: AppIds) => {
    await journey.step('licence', async () => {
      const { dynamicLicenseURL } = (await site.configuration(appleItemId)).license;
      return site.license(dynamicLicenseURL, appleItemId, appleVersionId);
    });
  };

  return {
    /** Taps a link. As on a device, the linked package determines the app and the version to request. */
    install: (installUrl: string, pageUrl = `https://${options.domain}/`) =>
      record(async (journey) => {
        const parameters = parametersOf(installUrl);
        await journey.step('link and its token', () =>
          judgeToken(journey, 'link', { installUrl, pageUrl }, parameters.get('installVerificationToken') ?? ''),
        );
        await journey.step('eligibility', async () => eligibility(profile));
        const base = parameters.get('alternativeDistributionPackage') ?? '';
        const wanted = await journey.step('linked manifest', async () => {
          const ids = await site.manifestIds(base);
          compareClaims(claimsIn(parameters.get('installVerificationToken') ?? ''), ids);
          return [`${ids.appleItemId}, version ${ids.appleVersionId}`, ids] as const;
        });
        await journey.step('configuration', async () => {
          await site.configuration(wanted.appleItemId);
          return 'licence, restore and updates are present';
        });
        const linkToken = parameters.get('token');
        if (linkToken)
          await journey.step('token exchange', async () => {
            await session.exchange(linkToken);
            return 'received an access token';
          });
        await license(journey, wanted);
        await restore(journey, wanted, true);
      }),
    /** Requests updates of all installed apps and installs them. */
    update: (apps: readonly AppIds[] = [...installed.values()]) =>
      record(async (journey) => {
        const [first] = apps;
        if (!first) throw refusal(34, 'appNotInstalled', 'the device has no app to update');
        const { updates } = await site.configuration(first.appleItemId);
        const answer = await journey.step('updates', async () => {
          const found = (await session.request('updates', apps, updates.url)).updates ?? [];
          return [`available for ${found.length} of ${apps.length} apps`, found] as const;
        });
        if (answer.length === 0) throw refusal(34, 'updates', 'there is no newer version');
        for (const entry of answer) {
          const before = installed.get(entry.appleItemId);
          if (!before) throw refusal(34, 'mismatchedInstallType', `${entry.appleItemId} is not installed`);
          if (BigInt(entry.appleVersionId) <= BigInt(before.appleVersionId))
            throw refusal(
              34,
              'mismatchedInstallType',
              `${entry.appleVersionId} is not newer than ${before.appleVersionId}`,
            );
          await installEntry(journey, 'update', entry);
        }
      }),
    /** Deletes an app from the device. */
    remove: (appleItemId: string) => installed.delete(appleItemId),
    /** Restores a backup by requesting every installed app again. */
    restoreFromBackup: () =>
      record(async (journey) => {
        const backup = [...installed.values()];
        installed.clear();
        for (const app of backup) {
          await license(journey, app);
          await restore(journey, app, false);
        }
      }),
    /** The installed apps. */
    apps: (): AppIds[] => [...installed.values()],
  };
}

function parametersOf(installUrl: string): ReadonlyMap<string, string> {
  const pairs = (installUrl.split('?')[1] ?? '').split('&').map((part) => part.split('='));
  return new Map(pairs.map(([name = '', value = '']) => [name, decoded(value)]));
}

/** Invalid percent-encoding is left unchanged; the check `link-query` refuses it. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

const claimsIn = (token: string): ComparedClaims =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
