/**
 * Checks what iOS fetches from the website besides the package: the document with the URLs of this developer, the requests
 * that it leads to, and the sign-in of devices (docs/apple-facts.md §3.1, §3.2, §3.6). And the webhook of App Store Connect.
 */

import { z } from 'zod';
import { type Check, type Finding, fail, ok, warn } from './check.ts';
import { codeOf, isOwn, requestToken, type Site, siteCheck } from './site.ts';
import { answered, isPage, isRedirect, jsonOf, mediaTypeOf, unlessChallenge } from './web.ts';

const KIT_PATH = '/.well-known/marketplace-kit';
const OAUTH_PATH = '/.well-known/oauth-authorization-server';
const JSON_TYPE = { 'content-type': 'application/json' };

/** Fetches a document that iOS reads. It is always on the page's host, even if the service is on another. */
const documentAt = (path: string, { facts, pageUrl }: Site) => facts.web(new URL(path, pageUrl));

const url = z.url().optional().catch(undefined);
const kitForm = z.object({
  license: z.record(z.string(), z.unknown()),
  restore: z.string(),
  updates: z.object({ url: z.string() }),
});
const anyObject = z.object({});
const oauthForm = z.object({ issuer: z.string(), token_endpoint: z.url() });

/** The document, if it was found and is complete; the first checks report the rest. */
async function kitOf(site: Site) {
  const answer = await documentAt(KIT_PATH, site);
  return answer.status === 200 ? kitForm.safeParse(jsonOf(answer)).data : undefined;
}

export const kitChecks: readonly Check[] = [
  siteCheck(
    'kit-reachable',
    'iOS reads the URLs for licences, restore and updates from this document.',
    async (site) => {
      const answer = await documentAt(KIT_PATH, site);
      if (isRedirect(answer)) return undefined;
      return answer.status === 200
        ? ok(`${KIT_PATH} is served`)
        : fail(
            `${KIT_PATH} ${answered(answer)}`,
            unlessChallenge(answer, 'Serve it on the registered domain and on the page’s host (docs/proxy.md).'),
          );
    },
  ),
  siteCheck('kit-redirect', 'iOS does not follow redirects for this document.', async (site) => {
    const answer = await documentAt(KIT_PATH, site);
    if (answer.failed) return undefined;
    return isRedirect(answer)
      ? fail(`it redirects to ${answer.headers.location}`, 'Exclude this path from redirects.')
      : ok('no redirect');
  }),
  siteCheck('kit-content', 'The document must be JSON with `license`, `restore` and `updates`.', async (site) => {
    const answer = await documentAt(KIT_PATH, site);
    if (answer.status !== 200) return undefined;
    if (isPage(answer))
      return fail(
        `a page (HTML) is served instead of ${KIT_PATH}`,
        "Route this path to webdist, before the rule that answers with the website's page (docs/proxy.md).",
      );
    const parsed = kitForm.safeParse(jsonOf(answer));
    if (!parsed.success)
      return fail(
        `wrong or missing: ${parsed.error.issues.map(({ path }) => path.join('.') || 'the whole document').join(', ')}`,
        'Serve webdist’s answer unchanged.',
      );
    return mediaTypeOf(answer) === 'application/json'
      ? ok('license, restore and updates')
      : warn(`it has the type ${mediaTypeOf(answer) || '(none)'}`, 'Serve it as application/json.');
  }),
  siteCheck(
    'kit-licences',
    'Devices request licences at the URLs in the document, not in the settings.',
    async (site) => {
      const kit = await kitOf(site);
      if (!kit) return undefined;
      const wrong = Object.entries(site.config.deviceSide.license).filter(
        ([name, wanted]) => wanted !== undefined && url.parse(kit.license[name]) !== wanted,
      );
      return wrong.length === 0
        ? ok('those of the settings')
        : fail(
            `${KIT_PATH} has other values than the settings: ${wrong.map(([name]) => name).join(', ')}`,
            'Restart webdist, and route this path to it instead of serving a copy.',
          );
    },
  ),
  siteCheck('kit-requests', 'During an install, a device requests the app from `restore`.', async (site) => {
    const kit = await kitOf(site);
    if (!kit || !(await isPostPassedOn(site))) return undefined;
    for (const [member, text] of [
      ['restore', kit.restore],
      ['updates.url', kit.updates.url],
    ] as const) {
      const target = URL.parse(text);
      if (!target) return fail(`${member} is not a URL: ${text.slice(0, 200)}`, 'Set WEBDIST_PUBLIC_URL.');
      const answer = await site.facts.web(target, { method: 'POST', headers: JSON_TYPE, body: '{"apps":[]}' });
      const isAnswered =
        answer.status === 200 ? anyObject.safeParse(jsonOf(answer)).success : codeOf(answer) !== undefined;
      if (!isAnswered)
        return fail(
          `${member}: POST ${target.href} ${answered(answer)}, and webdist did not send that`,
          'Pass POST requests for this path on to webdist, and set WEBDIST_PUBLIC_URL to where webdist is reached.',
        );
    }
    return ok('restore and update requests reach webdist');
  }),
  siteCheck(
    'oauth-document',
    'A device exchanges the token of the link there; if it cannot, it does not install.',
    signIn,
  ),
  siteCheck('webhook', 'App Store Connect reports new packages there.', async (site) => {
    const { config, facts, urlOf } = site;
    if (config.webhookSecret === undefined || !(await isPostPassedOn(site))) return undefined;
    const target = urlOf('/webhooks/app-store-connect');
    const answer = await facts.web(target, { method: 'POST', headers: JSON_TYPE, body: '{}' });
    return codeOf(answer) === 'unauthorized'
      ? ok('unsigned events are refused')
      : warn(
          `POST ${target.href} ${answered(answer)}, and webdist did not send that`,
          'Pass POST requests for this path on to webdist, and use this URL in App Store Connect.',
        );
  }),
];

/** If nothing that is posted reaches webdist, the check `token-answer` reports it. */
const isPostPassedOn = async (site: Site) => isOwn(await requestToken(site));

/** Checks the authorization server that devices are referred to, and that webdist's own one answers. */
async function signIn(site: Site): Promise<Finding | undefined> {
  const { oauth } = site.config.deviceSide;
  if (!oauth) return undefined;
  const answer = await documentAt(OAUTH_PATH, site);
  const metadata = answer.status === 200 ? oauthForm.safeParse(jsonOf(answer)).data : undefined;
  if (!metadata)
    return fail(
      answer.status === 200 ? `${OAUTH_PATH} is not webdist's document` : `${OAUTH_PATH} ${answered(answer)}`,
      "Route it to webdist, at the root of the page's host (docs/proxy.md).",
    );
  if (oauth.kind !== 'own') return ok(metadata.issuer);
  if (!(await isPostPassedOn(site))) return undefined;
  const target = new URL(metadata.token_endpoint);
  const refusal = await site.facts.web(target, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'grant_type=none',
  });
  return typeof (jsonOf(refusal) as { error?: unknown } | null | undefined)?.error === 'string'
    ? ok(target.href)
    : fail(
        `POST ${target.href} ${answered(refusal)}, and webdist did not send that`,
        'Pass POST requests for this path on to webdist, and set WEBDIST_PUBLIC_URL to where webdist is reached.',
      );
}
