/** The command line of `webdist api-keys`. */

import { Command } from 'commander';
import { dateText, wholeNumber } from '../option-values.ts';

const work = () => import('./run.ts');

export const apiKeysCommand = (): Command =>
  new Command('api-keys')
    .description('keys with which servers call this service')
    .addCommand(
      new Command('new')
        .description('create a key and print it once, with its entry for WEBDIST_API_KEYS; stores nothing')
        .argument('<name>', 'name for logs and metrics: letters, digits, "_", "." and "-"')
        .option('--tokens-per-minute <number>', 'the install tokens per minute that the key may request', wholeNumber)
        .option('--until <date>', 'the last day on which the key is valid (UTC), such as 2027-12-31', dateText)
        .option('--json', 'print JSON')
        .action(async (name, options) => (await work()).newApiKey(name, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist api-keys new shop --tokens-per-minute 600');
