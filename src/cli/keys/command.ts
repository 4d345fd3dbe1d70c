/** The command line of `webdist keys`. */

import { Command } from 'commander';
import { addConfirmation, addDryRun } from '../change-options.ts';
import { secondsOfOverlap } from '../option-values.ts';

const work = () => import('./run.ts');
const rotateWork = () => import('./rotate.ts');

export function keysCommand(): Command {
  return new Command('keys')
    .description('alternative distribution keys at App Store Connect')
    .addCommand(
      new Command('list')
        .description('list the keys, each with its fingerprint and its app')
        .option('--app <app>', 'only the key of this app (bundle id, AppleItemID or name)')
        .option('--account', 'only keys for all apps of the account')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist keys list --account')
        .action(async (options) => (await work()).listKeys(options)),
    )
    .addCommand(
      new Command('show')
        .description('print one key and its public half')
        .argument('<id>', 'id of the key at App Store Connect')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist keys show 0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11')
        .action(async (id, options) => (await work()).showKey(id, options)),
    )
    .addCommand(
      addDryRun(new Command('add'))
        .description('register a public half; the private half is never sent')
        .option(
          '--key <locator>',
          'register the public half of the key pair at this locator (default: the first of WEBDIST_KEY)',
        )
        .option('--public <file>', 'register the public half in this PEM file')
        .option('--app <app>', 'register it for this app (bundle id, AppleItemID or name; default: WEBDIST_BUNDLE_ID)')
        .option('--account', 'register it for all apps of the account')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist keys add --public camping.pub.pem --app com.example.camping')
        .action(async (options) => (await work()).addKey(options)),
    )
    .addCommand(
      addConfirmation(new Command('remove'))
        .description('delete a key at App Store Connect; devices then refuse the tokens that it signed')
        .argument('<id>', 'id of the key at App Store Connect')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist keys remove 0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11')
        .action(async (id, options) => (await work()).removeKey(id, options)),
    )
    .addCommand(rotateCommand())
    .addCommand(stopCommand())
    .addCommand(resumeCommand())
    .addHelpText('after', '\nExample:\n  $ webdist keys list');
}

const orders = () => import('./orders.ts');
const APP = 'bundle id or AppleItemID (default: the only app)';
const WAIT = 'return when every running service follows the order';

const stopCommand = (): Command =>
  addConfirmation(new Command('stop'))
    .description('make every running service stop signing for an app within a second; changes nothing at Apple')
    .option('--app <app>', APP)
    .option('--wait', WAIT)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ webdist keys stop --app com.example.camping --wait')
    .action(async (options) => (await orders()).stopKey(options));

const resumeCommand = (): Command =>
  addConfirmation(new Command('resume'))
    .description('make running services sign for an app again')
    .option('--app <app>', APP)
    .option('--wait', WAIT)
    .option('--json', 'print JSON')
    .action(async (options) => (await orders()).resumeKey(options));

function rotateCommand(): Command {
  return addConfirmation(new Command('rotate'))
    .description('replace the registered key; running servers switch over automatically')
    .option('--to <locator>', 'the new key, which must be a candidate (WEBDIST_KEY) of every running server')
    .option('--app <app>', 'the app whose key to replace (bundle id or AppleItemID; default: the only app)')
    .option('--rollback', 'restore the key that the last rotation replaced')
    .option(
      '--overlap <seconds>',
      'for how long the old key of the account stays registered after the switch (default: WEBDIST_TOKEN_LIFETIME)',
      secondsOfOverlap,
    )
    .option(
      '--ignore-silent',
      'rotate even if a server that was seen in the last 15 minutes has not read the announcement',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nRun it with the settings of the servers. If it is interrupted, run it again.\n\nExample:\n  $ webdist keys rotate --to file:///run/secrets/camping-2.pem',
    )
    .action(async (options) => (await rotateWork()).runRotate(options));
}
