/** The command line of `webdist api-token`. */

import { Command, Option } from 'commander';
import type { ApiKeyKind } from '../../app-store-connect/api-token.ts';
import { collected, wholeSeconds } from '../option-values.ts';

const work = () => import('./run.ts');

export function apiTokenCommand(): Command {
  return new Command('api-token')
    .description("make a bearer JWT for Apple's server APIs; prints only the JWT")
    .addOption(
      new Option(
        '--kind <kind>',
        'kind of API key (default: in-app-purchase for SubscriptionKey_….p8 or with --bundle-id; team with an issuer id; else individual)',
      ).choices(['team', 'individual', 'in-app-purchase'] satisfies ApiKeyKind[]),
    )
    .option('--key <locator>', 'locator of the .p8 (default: ASC_PRIVATE_KEY)')
    .option('--key-id <id>', 'id of the API key (default: ASC_KEY_ID, or the id in the name of the .p8)')
    .option('--issuer-id <id>', 'issuer id (default: ASC_ISSUER_ID); an individual key has none')
    .option('--bundle-id <id>', 'app, for in-app-purchase (default: WEBDIST_BUNDLE_ID)')
    .option('--lifetime <seconds>', 'at most 1200; for in-app-purchase, 3600', wholeSeconds, 900)
    .option('--scope <entry>', 'permit only this request, such as "GET /v1/apps"; may be repeated', collected)
    .option('--curl', 'print a complete curl command instead')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ curl -H "Authorization: Bearer $(webdist api-token)" …')
    .action(async (options) => (await work()).printApiToken(options));
}
