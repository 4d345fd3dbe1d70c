/**
 * The simulated device's checks of an install link and its page (docs/apple-facts.md §2, §10 lines 1 to 6 and the manifest
 * of line 32). Line 2, the tap, cannot be checked here.
 */

import { isWithinDomain } from '../../host.ts';
import type { Package, SandboxState } from '../state.ts';
import { type DeviceCheck, fail, pass, quoted } from './check.ts';

/** A link and its page, parsed as far as possible. */
export type ReadLink = {
  readonly url: URL | undefined;
  /** Decoded values by name; undefined if the percent-encoding is invalid. */
  readonly parameters: ReadonlyMap<string, readonly string[]> | undefined;
  readonly packageUrl: URL | undefined;
  readonly page: URL | undefined;
  /** The package of the account that the link names. */
  readonly linked: Package | undefined;
  /** The team that has registered the domain of the page. */
  readonly team: string | undefined;
  readonly state: SandboxState;
};

/** Parses a link. Never throws. A part that cannot be read is undefined. */
export function readLink(installUrl: string, pageUrl: string, state: SandboxState): ReadLink {
  const url = /\s/.test(installUrl) ? undefined : (URL.parse(installUrl) ?? undefined);
  const parameters = url && readParameters(url.search.slice(1));
  const packageUrl = readHttpsUrl(only(parameters, 'alternativeDistributionPackage'));
  const linked = packageUrl && packageAt(packageUrl, state);
  const page = readHttpsUrl(pageUrl);
  return { url, parameters, packageUrl, page, linked, team: page && domainOver(page.host, state)?.team, state };
}

/** Returns the registered domain that covers a host (docs/apple-facts.md §2.3). */
const domainOver = (host: string, { domains }: SandboxState) =>
  domains.find(({ domain }) => isWithinDomain(host, domain));

/**
 * The package of the account at an address: a website may serve the newest one at one URL, or each version at a URL of its
 * own below that. The host does not matter here: a subdomain of the registered domain can serve it too.
 */
function packageAt(address: URL, { packages }: SandboxState): Package | undefined {
  const path = address.pathname.replace(/\/$/, '');
  const basePath = ({ url }: Package) => new URL(url).pathname;
  return (
    packages.findLast((one) => one.isMade && [basePath(one), `${basePath(one)}/current`].includes(path)) ??
    packages.find((one) => `${basePath(one)}/versions/${one.appleVersionId}` === path)
  );
}

/** Returns the token in the link, if there is exactly one. */
export const linkedToken = ({ parameters }: ReadLink): string | undefined =>
  only(parameters, 'installVerificationToken') || undefined;

/** A plus sign stays a plus sign, as in Foundation; `URLSearchParams` would turn it into a space. */
function readParameters(query: string): Map<string, string[]> | undefined {
  const parameters = new Map<string, string[]>();
  try {
    for (const part of query.split('&')) {
      const [name = '', ...value] = part.split('=').map(decodeURIComponent);
      parameters.set(name, [...(parameters.get(name) ?? []), value.join('=')]);
    }
  } catch {
    return undefined; // URIError; the check `link-query` reports it
  }
  return parameters;
}

function only(parameters: ReadLink['parameters'], name: string): string | undefined {
  const values = parameters?.get(name) ?? [];
  return values.length === 1 ? values[0] : undefined;
}

/** Parses an absolute https URL on the default port, without credentials; returns undefined for anything else. */
function readHttpsUrl(text: string | undefined): URL | undefined {
  // Like Foundation, uses the host exactly as written (docs/apple-facts.md §2.7).
  if (!text || !/^https:\/\/[a-z0-9.-]+(:\d+)?([/?#][^\s\\]*)?$/i.test(text)) return undefined;
  const url = URL.parse(text);
  return url && url.port === '' && url.username === '' && url.password === '' ? url : undefined;
}

/** The checks of a link, in the order in which a device would make them. */
export const linkChecks: readonly DeviceCheck<ReadLink>[] = [
  ['link-scheme', 1, checkScheme],
  ['link-query', 1, checkQuery],
  ['token-present', 3, checkTokenPresent],
  ['package-url', 4, checkPackageUrl],
  ['page-url', 5, checkPageUrl],
  ['package-host', 5, checkPackageHost],
  ['registered-domain', 6, checkRegisteredDomain],
  ['package-manifest', 32, checkManifest],
];

function checkScheme({ url }: ReadLink) {
  if (url?.protocol === 'marketplace-kit:' && url.host === 'install' && ['', '/'].includes(url.pathname))
    return pass('the link starts with marketplace-kit://install');
  return fail('the link must start with marketplace-kit://install and contain no white space');
}

function checkQuery({ url, parameters }: ReadLink) {
  if (!url) return undefined;
  return parameters
    ? pass('every parameter is percent-encoded')
    : fail('the percent-encoding of a parameter is invalid; encode each value with encodeURIComponent');
}

function checkTokenPresent(seen: ReadLink) {
  if (!seen.parameters) return undefined;
  return linkedToken(seen)
    ? pass('the link has one installVerificationToken')
    : fail('the link must have exactly one installVerificationToken, and it must not be empty');
}

function checkPackageUrl({ parameters, packageUrl }: ReadLink) {
  if (!parameters) return undefined;
  if (!packageUrl)
    return fail(
      'the link must have exactly one alternativeDistributionPackage, an absolute https URL on the default port; ' +
        `found ${quoted(parameters.get('alternativeDistributionPackage'))}`,
    );
  if (packageUrl.search !== '' || packageUrl.hash !== '')
    return fail('the package URL must not have a query or a fragment, because file names are appended to it');
  return pass(`the package is at ${packageUrl.href}`);
}

function checkPageUrl({ page }: ReadLink) {
  return page ? pass(`the page is on ${page.host}`) : fail('the page must be at an https URL on the default port');
}

function checkPackageHost({ packageUrl, page }: ReadLink) {
  if (!packageUrl || !page) return undefined;
  return packageUrl.host === page.host
    ? pass(`page and package are both on ${page.host}`)
    : fail(`the package is on ${packageUrl.host} and the page on ${page.host}; they must be on the same host`);
}

function checkRegisteredDomain({ page, state }: ReadLink) {
  if (!page) return undefined;
  const match = domainOver(page.host, state);
  if (match) return pass(`${page.host} is covered by the registered domain ${match.domain}`);
  const registered = state.domains.map(({ domain }) => domain);
  return fail(
    `${page.host} is not a domain registered with App Store Connect, nor a subdomain of one; ` +
      `registered: ${registered.join(', ') || 'none'}`,
  );
}

function checkManifest({ packageUrl, linked, state }: ReadLink) {
  if (!packageUrl) return undefined;
  if (linked) return pass(`the manifest is for ${linked.bundleId}, version ${linked.appleVersionId}`);
  const known = state.packages.map(({ url }) => url).join(', ');
  return fail(`this account has no package at ${packageUrl.origin}${packageUrl.pathname}; expected ${known}`);
}
