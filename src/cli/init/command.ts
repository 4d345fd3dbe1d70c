/** The command line of `webdist init`. */

import { Command, Option } from 'commander';
import { addDryRun } from '../change-options.ts';
import { collected, webAddress } from '../option-values.ts';
import { FORMAT_NAMES } from './format-names.ts';

const work = () => import('./run.ts');

export function initCommand(): Command {
  return addDryRun(new Command('init'))
    .description(
      'create the distribution key and the settings of a service, after checking them at App Store Connect; asks for missing values',
    )
    .option('--app <app>', 'the app: its name, bundle id or AppleItemID (default: the only app of the account)')
    .option('--domain <domain>', "the website's domain, such as example.com")
    .option('--api-key <file>', 'the .p8 of the App Store Connect API key, or its locator (default: ASC_PRIVATE_KEY)')
    .option('--key-id <id>', 'id of the API key (default: ASC_KEY_ID, or the id in the name of the .p8)')
    .option('--issuer-id <id>', 'issuer id of the API key (default: ASC_ISSUER_ID); an individual key has none')
    .option(
      '--key <locator>',
      'where the distribution key is, or is to be created (default: a new file in the folder secrets)',
    )
    .option(
      '--package-url <url>',
      "URL of the app's package (default: below /adp on the domain, for packages pull)",
      webAddress,
    )
    .addOption(new Option('--format <format>', 'what to write (default: env)').choices([...FORMAT_NAMES]))
    .option('--out <folder>', 'folder to write to (default: the current one)')
    .option('--set <setting>', 'a further setting, NAME=value; may be repeated', collected)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nRun it again to change an answer: it keeps the keys and the settings that are\nalready there.\n\nExamples:\n  $ webdist init\n  $ webdist init --app "Trail Map" --domain example.com --api-key AuthKey_2X9R4HXF34.p8 --format compose --out webdist-service',
    )
    .action(async (options) => (await work()).init(options));
}
