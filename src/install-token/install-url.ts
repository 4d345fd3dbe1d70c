/** The link a page gives to the browser (Apple: "MarketplaceKitURIScheme"; docs/apple-facts.md §2). Pure. */

/** Values are plain; all are percent-encoded here (RFC 3986: a space is `%20`, which Foundation reads back). */
export type InstallLink = {
  /** Base address of the package directory. */
  readonly packageUrl: string;
  readonly installToken: string;
  /** The page's own OAuth subject token, posted later to the token endpoint. */
  readonly subjectToken?: string | undefined;
  readonly account?: string | undefined;
  readonly appShareUrl?: string | undefined;
};

/** Gives `marketplace-kit://install?…` with the parameters in Apple's order, those that are absent left out. */
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
