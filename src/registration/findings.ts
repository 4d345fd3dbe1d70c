/** The findings of a check, as text, with which one replica reports them to the others. */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { type ErrorCode, WebdistError } from '../errors.ts';
import { spki } from '../jws.ts';
import type { OwnedRegistration } from './app-registration.ts';
import { publicHalves } from './candidates.ts';
import type { OwnedDomainRegistration } from './domain-registration.ts';
import type { Notice } from './rotation/notice.ts';

/**
 * Increased when the form of the text, or the behaviour of a check, changes, because replicas of different versions must
 * not share checks.
 */
const VERSION = 2;

const problem = z
  .object({
    code: z.custom<ErrorCode>((code) => typeof code === 'string'),
    detail: z.string(),
    hint: z.string().optional(),
    retryAfterSeconds: z.number().optional(),
  })
  .optional();
const registered = z.object({ keyId: z.string(), spki: z.string(), seenAt: z.string() }).optional();
const document = z.object({
  /** The step of a rotation that was known when the check began. */
  step: z.string(),
  /** By AppleItemID. */
  apps: z.record(z.string(), z.object({ registered, confirmed: z.boolean(), paused: z.boolean(), problem })),
  domain: z.object({ confirmed: z.boolean(), problem }),
  /** App Store Connect's clock minus the store's, in seconds. */
  appleAheadOfStoreSeconds: z.number().optional(),
});
/** The findings of a check, parsed from the text. */
export type Findings = z.output<typeof document>;

type Checked = { readonly apps: readonly OwnedRegistration[]; readonly domain: OwnedDomainRegistration };

/**
 * Returns a hash of everything that the outcome of a check depends on: settings, and the public halves that are held.
 */
export function configurationOf(
  { keyScope, register, appStoreConnect, domain }: Pick<Config, 'keyScope' | 'register' | 'appStoreConnect' | 'domain'>,
  apps: readonly OwnedRegistration[],
): string {
  const account = appStoreConnect && [appStoreConnect.baseUrl, appStoreConnect.keyId, appStoreConnect.issuerId];
  const held = apps.map(({ app, candidates }) => [app.appleItemId, app.bundleId, publicHalves(candidates).map(spki)]);
  const all = JSON.stringify([VERSION, keyScope, register, account, domain, held.sort()]);
  return createHash('sha256').update(all).digest('base64url');
}

/**
 * Names the step of a rotation. While a key is being switched, the name contains the heartbeat, because a run that seemed
 * dead may continue.
 */
export const stepOf = (notice: Notice | undefined): string =>
  notice ? [notice.run, notice.phase, notice.phase === 'switching' && notice.beat].join(' ') : 'none';

/** The findings about the apps that were checked, as text. */
export function findingsText(
  { apps, domain }: Checked,
  more: Pick<Findings, 'step' | 'appleAheadOfStoreSeconds'>,
): string {
  const found = apps.map(({ app, state: { registered, confirmed, paused, problem } }) => [
    app.appleItemId,
    { registered, confirmed, paused, problem: problem && plain(problem) },
  ]);
  const { confirmed, problem } = domain.state;
  return JSON.stringify({
    ...more,
    apps: Object.fromEntries(found),
    domain: { confirmed, problem: problem && plain(problem) },
  });
}

/** Parses findings. Throws when the text is not valid. */
export const parseFindings = (text: string): Findings => document.parse(JSON.parse(text));

/** The problems of the apps and of the domain. */
export const problemsIn = ({ apps, domain }: Findings) =>
  [...Object.values(apps), domain].flatMap((one) => one.problem ?? []);

/** Applies another replica's findings. */
export function adoptFindings(found: Findings, { apps, domain }: Checked): void {
  for (const one of apps) {
    const report = found.apps[one.app.appleItemId];
    if (report)
      one.apply({ type: 'reported', ...report, registered: report.registered, problem: errorOf(report.problem) });
  }
  const { confirmed } = found.domain;
  domain.apply({ type: 'reported', confirmed, problem: errorOf(found.domain.problem) });
}

/** Without the cause, which can be any value. */
const plain = ({ code, detail, hint, retryAfterSeconds }: WebdistError) => ({ code, detail, hint, retryAfterSeconds });

const errorOf = (found: z.output<typeof problem>) =>
  found &&
  new WebdistError(found.code, found.detail, {
    ...(found.hint !== undefined && { hint: found.hint }),
    ...(found.retryAfterSeconds !== undefined && { retryAfterSeconds: found.retryAfterSeconds }),
  });
