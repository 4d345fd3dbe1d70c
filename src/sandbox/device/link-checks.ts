/**
 * What the simulated device checks of an install link and the page it is on (docs/apple-facts.md §2, §10 lines 1 to 6
 * and the manifest of line 32). Line 2, the tap, cannot be seen from here.
 */

import type { Package, State } from '../state.ts';
import { type Check, fail, pass, shown } from './check.ts';

/** A link and a page, taken apart as far as that goes. */
export type SeenLink = {
  readonly url: URL | undefined;
  /** Decoded values by name; undefined when the percent-encoding is broken. */
  readonly parameters: ReadonlyMap<string, readonly string[]> | undefined;
  readonly packageUrl: URL | undefined;
  readonly page: URL | undefined;
  /** The package of the account that is linked to. */
  readonly linked: Package | undefined;
  readonly state: State;
};

/** Takes a link apart. Never throws; what cannot be read is undefined. */
export function readLink(installUrl: string, pageUrl: string, state: State): SeenLink {
  const url = /\s/.test(installUrl) ? undefined : (URL.parse(installUrl) ?? undefined);
  const parameters = url && readParameters(url.search.slice(1));
  const packageUrl = readHttpsUrl(only(parameters, 'alternativeDistributionPackage'));
  const linked = packageUrl && packageAt(packageUrl.href.replace(/\/$/, ''), state);
  return { url, parameters, packageUrl, page: readHttpsUrl(pageUrl), linked, state };
}

/** A website may serve the newest package at one address, or every version at its own below that. */
function packageAt(address: string, { packages }: State): Package | undefined {
  return (
    packages.findLast(({ url, isMade }) => isMade && (url === address || `${url}/current` === address)) ??
    packages.find(({ url, appleVersionId }) => `${url}/versions/${appleVersionId}` === address)
  );
}

/** The token in the link, if there is exactly one. */
export const linkedToken = ({ parameters }: SeenLink): string | undefined =>
  only(parameters, 'installVerificationToken') || undefined;

/** As Foundation does, a plus sign stays one: `URLSearchParams` would make it a space. */
function readParameters(query: string): Map<string, string[]> | undefined {
  const parameters = new Map<string, string[]>();
  try {
    for (const part of query.split('&')) {
      const [name = '', ...value] = part.split('=').map(decodeURIComponent);
      parameters.set(name, [...(parameters.get(name) ?? []), value.join('=')]);
    }
  } catch {
    return undefined; // URIError: the check `link-query` reports it
  }
  return parameters;
}

function only(parameters: SeenLink['parameters'], name: string): string | undefined {
  const values = parameters?.get(name) ?? [];
  return values.length === 1 ? values[0] : undefined;
}

/** An absolute https URL on the default port, without credentials; else undefined. */
function readHttpsUrl(text: string | undefined): URL | undefined {
  if (!text || !/^https:\/\/[^\s]+$/i.test(text)) return undefined;
  const url = URL.parse(text);
  return url && url.port === '' && url.username === '' && url.password === '' ? url : undefined;
}

/** The checks of a link, in the order a device would make them. */
export const linkChecks: readonly Check<SeenLink>[] = [
  ['link-scheme', 1, checkScheme],
  ['link-query', 1, checkQuery],
  ['token-present', 3, checkTokenPresent],
  ['package-url', 4, checkPackageUrl],
  ['page-url', 5, checkPageUrl],
  ['package-host', 5, checkPackageHost],
  ['registered-domain', 6, checkRegisteredDomain],
  ['package-manifest', 32, checkManifest],
];

function checkScheme({ url }: SeenLink) {
  if (url?.protocol === 'marketplace-kit:' && url.host === 'install' && ['', '/'].includes(url.pathname))
    return pass('the link begins with marketplace-kit://install');
  return fail('the link has to be one line that begins with marketplace-kit://install and holds no white space');
}

function checkQuery({ url, parameters }: SeenLink) {
  if (!url) return undefined;
  return parameters
    ? pass('every parameter is percent-encoded')
    : fail('the percent-encoding of a parameter is broken; encode each value with encodeURIComponent');
}

function checkTokenPresent(seen: SeenLink) {
  if (!seen.parameters) return undefined;
  return linkedToken(seen)
    ? pass('the link has one installVerificationToken')
    : fail('the link has to have exactly one installVerificationToken that is not empty');
}

function checkPackageUrl({ parameters, packageUrl }: SeenLink) {
  if (!parameters) return undefined;
  if (!packageUrl)
    return fail(
      'the link has to have exactly one alternativeDistributionPackage, an absolute https URL on the default port; ' +
        `found ${shown(parameters.get('alternativeDistributionPackage'))}`,
    );
  if (packageUrl.search !== '' || packageUrl.hash !== '')
    return fail('the package URL has a query or a fragment; file names are appended to it, so it may have none');
  return pass(`the package is at ${packageUrl.href}`);
}

function checkPageUrl({ page }: SeenLink) {
  return page ? pass(`the page is on ${page.host}`) : fail('the page has to be at an https URL on the default port');
}

function checkPackageHost({ packageUrl, page }: SeenLink) {
  if (!packageUrl || !page) return undefined;
  return packageUrl.host === page.host
    ? pass(`page and package are both on ${page.host}`)
    : fail(`the package is on ${packageUrl.host} and the page on ${page.host}; it has to be the same host`);
}

function checkRegisteredDomain({ page, state }: SeenLink) {
  if (!page) return undefined;
  const registered = state.domains.map(({ domain }) => domain);
  const match = registered.find((domain) => page.host === domain || page.host.endsWith(`.${domain}`));
  if (match) return pass(`${page.host} is under the registered domain ${match}`);
  return fail(
    `${page.host} is not a domain registered with App Store Connect nor below one; ` +
      `registered: ${registered.join(', ') || 'none'}`,
  );
}

function checkManifest({ packageUrl, linked, state }: SeenLink) {
  if (!packageUrl) return undefined;
  if (linked) return pass(`the manifest says ${linked.bundleId}, version ${linked.appleVersionId}`);
  const known = state.packages.map(({ url }) => url).join(', ');
  return fail(`no package of this account is at ${packageUrl.origin}${packageUrl.pathname}; expected ${known}`);
}
