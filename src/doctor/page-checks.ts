/** Checks that the page can load the install button and request tokens: its HTML, its CSP and its origin. */

import { type Check, type Finding, fail, info, ok, warn } from './check.ts';
import { forbiddenBy, policiesOf } from './csp.ts';
import { type Site, siteCheck } from './site.ts';
import { answered, mediaTypeOf } from './web.ts';

/** The ways in which a page can contain an install link: the element, the module, the npm package, or its own link. */
const BUTTON = /<install-button\b|install-button\.js|webdist-button|marketplace-kit:/i;

/** The page, if it is HTML. */
async function htmlOf({ facts }: Site): Promise<string | undefined> {
  const page = await facts.page();
  return page?.status === 200 && mediaTypeOf(page) === 'text/html' ? page.body.toString('utf8') : undefined;
}

export const pageChecks: readonly Check[] = [
  siteCheck('page-button', 'Visitors install with the button on the page.', async (site) => {
    const html = await htmlOf(site);
    if (html === undefined) return undefined;
    if (BUTTON.test(html))
      return (await otherModule(site, html)) ?? otherApp(site, html) ?? ok('the page has the install button');
    return /<script\b[^>]*\bsrc=/i.test(html)
      ? info('the install button is not in the HTML; a script of the page may add it')
      : warn(
          `${site.pageUrl.href} has no install button`,
          'Put <install-button> on the page (docs/install-button.md), or use the URL of the page that has it.',
        );
  }),
  siteCheck(
    'page-csp',
    'A Content Security Policy that omits webdist stops the button from loading, or from requesting tokens.',
    async (site): Promise<Finding | undefined> => {
      const html = await htmlOf(site);
      if (html === undefined) return undefined;
      const { 'content-security-policy': header } = (await site.facts.page())?.headers ?? {};
      const policies = policiesOf(header, html);
      const isModuleOfService = html.includes('install-button.js');
      const needed = [
        ['connect-src', site.urlOf('/install-token')] as const,
        ...(isModuleOfService ? [['script-src', site.urlOf('/install-button.js')] as const] : []),
      ];
      for (const [directive, url] of needed) {
        const forbidding = forbiddenBy(policies, directive, url, site.pageUrl);
        if (forbidding !== undefined)
          return fail(
            `the Content Security Policy of the page (${forbidding}) does not permit ${url.href}`,
            `Add ${url.origin === site.pageUrl.origin ? "'self'" : url.origin} to its ${directive}.`,
          );
      }
      return ok(
        policies.length === 0 ? 'the page has no Content Security Policy' : 'permits the button and its requests',
      );
    },
  ),
  siteCheck('page-origin', 'Only pages of permitted origins can read a token.', ({ config, pageUrl, urlOf }) => {
    if (pageUrl.protocol !== 'https:' || urlOf('/').origin === pageUrl.origin) return undefined;
    return config.callers.allowedOrigins.includes(pageUrl.origin)
      ? ok(`${pageUrl.origin} is permitted`)
      : fail(
          `pages of ${pageUrl.origin} cannot read tokens of ${urlOf('/').origin}`,
          `Add ${pageUrl.origin} to WEBDIST_ALLOWED_ORIGINS, or serve webdist under a path of the page's host.`,
        );
  }),
];

/** The finding if the page loads the button from a URL that does not serve it. */
async function otherModule({ facts, pageUrl, urlOf }: Site, html: string): Promise<Finding | undefined> {
  const written = matched(
    html,
    /<script\b[^>]*\bsrc\s*=\s*(?:"([^"]*install-button\.js[^"]*)"|'([^']*install-button\.js[^']*)'|([^\s>"']*install-button\.js[^\s>"']*))/i,
  )[0];
  const module = written === undefined ? undefined : URL.parse(written, pageUrl);
  const own = urlOf('/install-button.js');
  // The check `button` examines webdist's own.
  if (!module || module.href === own.href) return undefined;
  if (pageUrl.protocol === 'https:' && module.protocol === 'http:')
    return fail(
      `the page loads the button from ${module.href}, and browsers block http on an https page`,
      `Load it with https: <script type="module" src="${own.pathname}"></script>`,
    );
  const answer = await facts.web(module);
  return answer.status === 200 && mediaTypeOf(answer).endsWith('/javascript')
    ? undefined
    : fail(
        `the page loads the button from ${module.href}, which ${answered(answer)}`,
        `Load it from ${own.pathname}: <script type="module" src="${own.pathname}"></script>`,
      );
}

/** The finding if a button names an app that this service does not have, or names none although there are several. */
function otherApp({ config: { apps } }: Site, html: string): Finding | undefined {
  for (const tag of html.match(/<install-button\b[^>]*>/gi) ?? []) {
    const [app] = matched(tag, /\sapp\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))/i);
    if (app === undefined || app === '') {
      if (apps.length > 1) return warn('a button on the page has no app', 'Name the app: <install-button app="…">.');
    } else if (!apps.some(({ bundleId, appleItemId }) => [bundleId, appleItemId].includes(app)))
      return fail(
        `the button on the page is for ${app}, which this service does not have`,
        `Use app="${apps[0]?.bundleId}".`,
      );
  }
  return undefined;
}

/** The groups of a pattern that matched. */
const matched = (text: string, pattern: RegExp) =>
  (pattern.exec(text) ?? []).slice(1).filter((one) => one !== undefined);
