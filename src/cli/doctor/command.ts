/** The command line of `webdist doctor`. */

import { Command } from 'commander';
import { hostAndPort, webUrl } from '../option-values.ts';

const work = () => import('./run.ts');

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check everything that an install depends on; exit 1 if a check fails')
    .option('--public <url>', 'also check from outside, starting at this URL of the page with the install link', webUrl)
    .option(
      '--service <url>',
      'URL at which webdist is reached from outside (default: WEBDIST_PUBLIC_URL, or the origin of --public)',
      webUrl,
    )
    .option(
      '--connect <host:port>',
      "connect to this host and port for the website's names, instead of to their addresses in DNS",
      hostAndPort,
    )
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ webdist doctor --public https://example.com/camping')
    .action(async (options) => (await work()).doctor(options));
}
