/** The install link of a page (Apple: "MarketplaceKitURIScheme"; docs/apple-facts.md §2). Pure. */

/** Unencoded values. `installUrl` percent-encodes them (RFC 3986: a space becomes `%20`, which Foundation decodes). */
export type InstallLink = {
  /** URL of the package directory. */
  readonly packageUrl: string;
  readonly installToken: string;
  /** The page's own OAuth subject token, which the device later posts to the token endpoint. */
  readonly subjectToken?: string | undefined;
  readonly account?: string | undefined;
  readonly appShareUrl?: string | undefined;
};

/** Returns `marketplace-kit://install?…` with the parameters in Apple's order, without the absent ones. */
export function installUrl(link: InstallLink): string {
  const parameters = {
    alternativeDistributionPackage: link.packageUrl,
    installVerificationToken: link.installToken,
    token: link.subjectToken,
    account: link.account,
    appShareURL: link.appShareUrl,
  };
  const query = Object.entries(parameters)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  return `marketplace-kit://install?${query}`;
}
