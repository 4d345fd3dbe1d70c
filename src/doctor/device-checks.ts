/** Checks the settings for devices: where they reach the service, and where customers sign in (docs/device-side.md). */

import { isWithinDomain } from '../host.ts';
import { certificateFault } from './certificate.ts';
import { type Check, fail, info, ok, privateCheck, warn } from './check.ts';
import { answered } from './web.ts';

export const deviceChecks: readonly Check[] = [
  privateCheck(
    'public-url',
    'Devices send restore and update requests to this URL. Browsers keep its cookie only if it is on the same site as the page.',
    ({ config }) => {
      if (!config) return undefined;
      const { publicUrl } = config.deviceSide;
      const { hostname } = new URL(publicUrl);
      return isWithinDomain(hostname, config.domain)
        ? ok(publicUrl)
        : warn(
            `WEBDIST_PUBLIC_URL is on ${hostname}, which is neither ${config.domain} nor a subdomain of it`,
            `Serve webdist under a path of the website, and set WEBDIST_PUBLIC_URL=https://${config.domain}/webdist`,
          );
    },
  ),
  privateCheck(
    'login-page',
    "When a device's credential has expired, iOS opens the website's login page.",
    async ({ config, web }) => {
      if (!config) return undefined;
      const { oauth, isCredentialRequired } = config.deviceSide;
      if (oauth?.kind !== 'own') return undefined;
      if (oauth.loginUrl === undefined)
        return isCredentialRequired
          ? warn(
              'devices need a credential, but there is no login page where a customer gets a new one',
              'Set WEBDIST_OAUTH_LOGIN_URL.',
            )
          : info('not configured (WEBDIST_OAUTH_LOGIN_URL)');
      const answer = await web(new URL(oauth.loginUrl));
      if (answer.failed !== undefined || answer.status >= 400)
        return fail(
          `WEBDIST_OAUTH_LOGIN_URL: ${oauth.loginUrl} ${answered(answer)}`,
          'Open the URL in a browser, and correct it.',
        );
      return certificateFault(answer, new URL(oauth.loginUrl)) ?? ok(`${oauth.loginUrl} answers ${answer.status}`);
    },
  ),
  privateCheck(
    'packages-url',
    'Links, restores and updates of pulled packages use this URL.',
    async ({ config, options, web, manifests }) => {
      // With --public, the package is checked as a device fetches it.
      if (!config?.packages.url || options.publicUrl) return undefined;
      const [app] = (await manifests()).flatMap(({ app, text }) => (text === undefined ? [] : [app]));
      if (!app) return undefined;
      const url = `${config.packages.url}/${app.appleItemId}/current/manifest.json`;
      const answer = await web(new URL(url));
      return answer.status === 200
        ? ok(`${url} is served`)
        : fail(
            `WEBDIST_PACKAGES_URL: ${url} ${answered(answer)}`,
            'Serve the packages folder at WEBDIST_PACKAGES_URL (webdist packages serve), or correct it.',
          );
    },
  ),
];
