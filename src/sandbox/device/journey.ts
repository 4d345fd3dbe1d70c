/**
 * The simulated iPhone's whole way: tap, configuration, token exchange, licence, restore, manifest, files, installed;
 * then update, delete and reinstall, restore from a backup (docs/apple-facts.md §2, §3, §5.4, §10). Everything is
 * asked for over HTTP, as a device would; links and install tokens are judged by `device.ts`. Written from those facts
 * alone.
 */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { DeviceRequest, Verdict } from './device.ts';
import { fetchPackage, type Phone } from './journey-package.ts';
import { fail, openWebsite, Refusal } from './journey-website.ts';

/** One step of a journey; `line` is that of the rejection checklist (docs/apple-facts.md §10) when it was refused. */
type Step = { readonly name: string; readonly ok: boolean; readonly detail: string; readonly line?: number };

/** An install token that was accepted on the way. */
export type Seen = { readonly place: 'link' | 'restore' | 'update'; readonly dtype: string; readonly nonce: string };
export type Journey = { readonly accepted: boolean; readonly steps: readonly Step[]; readonly tokens: readonly Seen[] };

export type JourneyOptions = {
  /** Where this machine finds the website; every address of the website's host is asked for there. */
  readonly website: string;
  /** The website's domain. */
  readonly domain: string;
  /** What the simulated device says of a link or a token. */
  readonly judge: (request: DeviceRequest) => Promise<Verdict>;
  readonly fetch?: typeof fetch;
  readonly phone?: Partial<Phone>;
  /** How long a licence may take; Apple's is 60. */
  readonly licenseSeconds?: number;
};

const defaultPhone: Phone = {
  platform: 'iOS',
  osVersion: '18.5',
  model: 'iPhone14,5',
  capabilities: ['arm64'],
  isInEligibleRegion: true,
};

const restoreEntry = z.object({
  appleItemId: z.string(),
  appleVersionId: z.string(),
  alternativeDistributionPackage: z.string(),
  installVerificationToken: z.string().default(''),
});
const restoreAnswer = z.object({
  restores: z.array(restoreEntry).optional(),
  updates: z.array(restoreEntry).optional(),
  failures: z.array(z.object({ appleItemId: z.string(), failure: z.object({ description: z.string() }) })).optional(),
});
type Entry = z.output<typeof restoreEntry>;
type AppIds = { readonly appleItemId: string; readonly appleVersionId: string };

/** A device with nothing on it. Journeys of one device follow each other; each gives its steps and never throws for a refusal. */
export function openPhone(options: JourneyOptions) {
  const phone = { ...defaultPhone, ...options.phone };
  const site = openWebsite(options);
  const installed = new Map<string, AppIds>();
  const clientId = randomUUID();
  let access: { accessToken: string; refreshToken: string | undefined } | undefined;

  const judgeToken = async (journey: Recorder, place: Seen['place'], request: DeviceRequest, token: string) => {
    const verdict = await options.judge(request);
    const bad = verdict.checks.find(({ ok }) => !ok);
    if (bad) throw fail(lineOf(bad.name), bad.name, bad.detail);
    const { dtype = '', nonce = '' } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const warned = verdict.checks.filter(({ warning }) => warning).map(({ detail }) => detail);
    journey.tokens.push({ place, dtype, nonce });
    return [`${verdict.checks.length} checks pass, dtype ${dtype}`, ...warned].join('; ');
  };

  const ask = async (kind: 'restore' | 'updates', apps: readonly AppIds[], url: string) => {
    const { platform, osVersion } = phone;
    const send = () => site.postJson(url, { apps, platform, osVersion }, access?.accessToken);
    let answer = await send();
    if ([401, 403].includes(answer.status) && access?.refreshToken) {
      access = await site.tokens({
        grant_type: 'refresh_token',
        refresh_token: access.refreshToken,
        client_id: clientId,
      });
      answer = await send();
    }
    if ([401, 403].includes(answer.status))
      throw fail(28, 'sign-in', `${kind} answered ${answer.status}: the OS would ask the person to sign in`);
    if (answer.status !== 200) throw fail(30, 'networkError', `${kind} answered ${answer.status}, expected 200`);
    const parsed = restoreAnswer.safeParse(answer.body);
    if (!parsed.success)
      throw fail(30, kind, `the answer is not what Apple describes: ${z.prettifyError(parsed.error)}`);
    return parsed.data;
  };

  /** From an entry of an answer to an app on the device. */
  const installEntry = async (journey: Recorder, place: Seen['place'], entry: Entry) => {
    const { appleItemId, appleVersionId, installVerificationToken: token } = entry;
    await journey.step(`${place} token`, async () => {
      if (token === '') throw fail(30, 'missingInstallVerificationToken', `the entry of ${appleItemId} has no token`);
      return judgeToken(journey, place, { token }, token);
    });
    await journey.step('package address', async () => site.packageAddress(entry.alternativeDistributionPackage, 31));
    await journey.step('package', () => fetchPackage(site, entry, phone, appleIdsIn(token)));
    installed.set(appleItemId, { appleItemId, appleVersionId });
    await journey.step('installed', async () => `${appleItemId}, version ${appleVersionId}, is on the device`);
  };

  const restore = async (journey: Recorder, wanted: AppIds, isOfLink: boolean) => {
    const { restore: url } = await site.configuration(wanted.appleItemId);
    const entry = await journey.step('restore', async () => {
      const { restores = [], failures = [] } = await ask('restore', [wanted], url);
      const found = restores.find(({ appleItemId }) => appleItemId === wanted.appleItemId);
      const failure = failures.find(({ appleItemId }) => appleItemId === wanted.appleItemId);
      if (failure) throw fail(30, 'App Not Available', failure.failure.description);
      if (!found) throw fail(30, 'restore', `the answer has no entry for ${wanted.appleItemId}`);
      if (isOfLink && found.appleVersionId !== wanted.appleVersionId)
        throw fail(30, 'restore', `version ${found.appleVersionId} came, the link is of ${wanted.appleVersionId}`);
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
    /** A tap on a link. `wanted` app and version are read from the linked package, as a device does. */
    install: (installUrl: string, pageUrl = `https://${options.domain}/`) =>
      record(async (journey) => {
        const parameters = parametersOf(installUrl);
        await journey.step('link and its token', () =>
          judgeToken(journey, 'link', { installUrl, pageUrl }, parameters.get('installVerificationToken') ?? ''),
        );
        await journey.step('eligibility', async () => eligibility(phone));
        const base = parameters.get('alternativeDistributionPackage') ?? '';
        const wanted = await journey.step('linked manifest', async () => {
          const ids = await site.manifestIds(base);
          return [`${ids.appleItemId}, version ${ids.appleVersionId}`, ids] as const;
        });
        await journey.step('configuration', async () => {
          await site.configuration(wanted.appleItemId);
          return 'licence, restore and updates are there';
        });
        const linkToken = parameters.get('token');
        if (linkToken)
          await journey.step('token exchange', async () => {
            access = await site.exchange(linkToken, clientId);
            return 'an access token came';
          });
        await license(journey, wanted);
        await restore(journey, wanted, true);
      }),
    /** Looks for updates of everything installed, and installs them. */
    update: (apps: readonly AppIds[] = [...installed.values()]) =>
      record(async (journey) => {
        const [first] = apps;
        if (!first) throw fail(34, 'appNotInstalled', 'there is nothing on the device to update');
        const { updates } = await site.configuration(first.appleItemId);
        const answer = await journey.step('updates', async () => {
          const found = (await ask('updates', apps, updates.url)).updates ?? [];
          return [`${found.length} of ${apps.length} apps have one`, found] as const;
        });
        if (answer.length === 0) throw fail(34, 'updates', 'there is no newer version');
        for (const entry of answer) {
          const before = installed.get(entry.appleItemId);
          if (!before) throw fail(34, 'mismatchedInstallType', `${entry.appleItemId} is not installed`);
          if (BigInt(entry.appleVersionId) <= BigInt(before.appleVersionId))
            throw fail(
              34,
              'mismatchedInstallType',
              `${entry.appleVersionId} is not newer than ${before.appleVersionId}`,
            );
          await installEntry(journey, 'update', entry);
        }
      }),
    /** Deletes an app from the device. */
    remove: (appleItemId: string) => installed.delete(appleItemId),
    /** A backup comes back: every app that was installed is asked for again. */
    restoreFromBackup: () =>
      record(async (journey) => {
        const backup = [...installed.values()];
        installed.clear();
        for (const app of backup) {
          await license(journey, app);
          await restore(journey, app, false);
        }
      }),
    /** What is on the device. */
    apps: (): AppIds[] => [...installed.values()],
  };
}

type Recorder = {
  readonly tokens: Seen[];
  /** Runs one step; what it gives is its detail, or its detail and what the next steps need. */
  step<T>(name: string, run: () => Promise<readonly [string, T]>): Promise<T>;
  step(name: string, run: () => Promise<string>): Promise<undefined>;
};

async function record(run: (journey: Recorder) => Promise<void>): Promise<Journey> {
  const steps: Step[] = [];
  const tokens: Seen[] = [];
  const refused = (name: string, error: unknown) => {
    if (!(error instanceof Refusal)) throw error;
    steps.push({ name, ok: false, detail: `${error.signal}: ${error.message}`, line: error.line });
  };
  const step = async (name: string, act: () => Promise<string | readonly [string, unknown]>) => {
    try {
      const outcome = await act();
      const [detail, result] = typeof outcome === 'string' ? [outcome, undefined] : outcome;
      steps.push({ name, ok: true, detail });
      return result;
    } catch (error) {
      refused(name, error);
      throw new Ended();
    }
  };
  try {
    await run({ tokens, step: step as Recorder['step'] });
    return { accepted: true, steps, tokens };
  } catch (error) {
    if (!(error instanceof Ended)) refused('device', error);
    return { accepted: false, steps, tokens };
  }
}

/** A refused step has been written down; the journey is over. */
class Ended extends Error {}

function eligibility({ platform, osVersion, isInEligibleRegion }: Phone): string {
  const [major = 0, minor = 0] = osVersion.split('.').map(Number);
  const isNew = platform === 'iPadOS' ? major >= 18 : major > 17 || (major === 17 && minor >= 5);
  if (!isNew) throw fail(35, 'featureUnavailable', `${platform} ${osVersion} cannot install from websites`);
  if (!isInEligibleRegion) throw fail(35, 'featureUnavailable', 'the device is not in the European Union');
  return `${platform} ${osVersion} in an eligible region`;
}

function parametersOf(installUrl: string): ReadonlyMap<string, string> {
  const pairs = (installUrl.split('?')[1] ?? '').split('&').map((part) => part.split('='));
  return new Map(pairs.map(([name = '', value = '']) => [name, decoded(value)]));
}

/** Percent-encoding that is broken stays as it is: the check `link-query` refuses it. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** The claims by which a device takes the shorter way, when both are there (docs/apple-facts.md §1.7). */
function appleIdsIn(token: string): { iid?: string; vid?: string } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

/** Lines of docs/apple-facts.md §10 by the name of the check that refused. */
const lines: Readonly<Record<string, number>> = {
  'link-scheme': 1,
  'link-query': 1,
  'token-present': 3,
  'package-url': 4,
  'page-url': 5,
  'package-host': 5,
  'registered-domain': 6,
  'app-owned': 7,
  'jws-shape': 8,
  header: 9,
  'kid-registered': 10,
  signature: 11,
  aud: 12,
  iss: 13,
  bid: 14,
  times: 15,
  validity: 16,
  'exp-present': 17,
  dtype: 19,
  nonce: 21,
  iid: 22,
  vid: 23,
  'package-manifest': 32,
};
const lineOf = (check: string): number => lines[check] ?? 8;
