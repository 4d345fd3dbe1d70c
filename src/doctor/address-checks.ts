/** Checks that the page is served at every address that DNS has for its host: IPv4 and IPv6, and in every region. */

import { type Check, fail, ok, publicCheck, warn } from './check.ts';
import { lookUp as lookUpInDns } from './dns.ts';
import { answered, type WebAnswer } from './web.ts';

const MAX_ADDRESSES = 8;

/** This machine has no IPv6, or no IPv4, so nothing is known about the address. */
const NO_ROUTE = ['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'];

export const addressChecks: readonly Check[] = [
  publicCheck(
    'page-addresses',
    'A device connects to any of the addresses in DNS, so each must serve the page.',
    async (facts) => {
      const { publicUrl: url, connect, lookUp = connect === undefined ? lookUpInDns : undefined } = facts.options;
      const page = await facts.page();
      if (!url || !lookUp || !page || page.failed !== undefined) return undefined;
      const { addresses } = await lookUp(url.hostname);
      // A host in /etc/hosts, or one that only this machine's resolver knows.
      if (addresses.length === 0) return undefined;
      const findings = addresses.slice(0, MAX_ADDRESSES).map(async (address) => {
        const answer = await facts.web(url, { address });
        if (NO_ROUTE.includes(answer.failed ?? '') || isSame(answer, page)) return undefined;
        return `${address} ${answer.certificateProblem ?? answered(answer)}`;
      });
      const wrong = (await Promise.all(findings)).filter((one) => one !== undefined);
      if (wrong.length === 0) return ok(addresses.join(', '));
      return (wrong.length < addresses.length ? warn : fail)(
        wrong.join(', '),
        `Correct the A and AAAA records of ${url.hostname}, or the web server and the firewall at that address.`,
      );
    },
  ),
];

const isSame = (answer: WebAnswer, page: WebAnswer) =>
  answer.failed === undefined && answer.status === page.status && answer.certificateProblem === page.certificateProblem;
