/** The findings about a TLS certificate that is not trusted, for every check of a server. */

import { connectionProblem } from '../connection-problem.ts';
import { type Finding, fail } from './check.ts';
import type { WebAnswer } from './web.ts';

const CHAIN = 'Configure the web server to send the whole chain of a certificate from an authority that iOS trusts.';

/** The fix by the code of OpenSSL; CHAIN for the others. */
const fixes: Readonly<Record<string, (host: string) => string>> = {
  CERT_HAS_EXPIRED: () => 'Renew the certificate, and reload the web server.',
  CERT_NOT_YET_VALID: () => "Check this machine's clock and the dates of the certificate.",
  ERR_TLS_CERT_ALTNAME_INVALID: (host) => `Install a certificate that names ${host}.`,
};

/** The finding if the certificate of a server is not trusted; undefined if it is, or without TLS. */
export function certificateFault(
  { certificateProblem: code }: WebAnswer,
  { host, hostname }: URL,
): Finding | undefined {
  if (code === undefined) return undefined;
  const what = connectionProblem({ code })?.what ?? 'has a certificate that is not trusted';
  return fail(`${host} ${what} (${code})`, fixes[code]?.(hostname) ?? CHAIN);
}
