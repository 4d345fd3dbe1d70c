/** The command line of `webdist packages`. */

import { Command } from 'commander';
import { withoutBrackets } from '../../host.ts';
import { addConfirmation, addDryRun } from '../change-options.ts';
import { portNumber } from '../option-values.ts';

const work = () => import('./run.ts');

export function packagesCommand(): Command {
  return new Command('packages')
    .description('fetch, check and serve the packages of your apps')
    .addCommand(
      new Command('list')
        .description('list the versions at App Store Connect, and show which of them are in the packages folder')
        .option('--app <app>', 'bundle id or AppleItemID (default: all configured apps)')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).listPackages(options)),
    )
    .addCommand(
      addDryRun(new Command('pull'))
        .description('fetch the newest package of each app, check it, and make it current')
        .option('--app <app>', 'bundle id or AppleItemID (default: all configured apps)')
        .option('--release <version>', 'fetch this version, such as 1.4.0, instead of the newest one with a package')
        .option(
          '--version-id <id>',
          'fetch the version with this id at App Store Connect; use it if versions cannot be listed',
        )
        .option(
          '--stage',
          'put a new version on hold before any device can get it; release it with `packages use` or `resume`',
        )
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).pullPackages(options)),
    )
    .addCommand(
      new Command('verify')
        .description('check every byte of a package; exit 1 if a file is missing, added or changed')
        .argument('[folder]', 'folder of one package (default: every package in the packages folder)')
        .option('--json', 'print JSON')
        .action(async (folder, options) => (await work()).verifyPackages(folder, options)),
    )
    .addCommand(
      new Command('serve')
        .description('serve the packages folder to devices without a CDN, behind your own https proxy')
        .option('--host <host>', 'address to listen on', withoutBrackets, '127.0.0.1')
        .option('--port <number>', 'port to listen on', portNumber, 8081)
        .action(async (options) => (await work()).servePackages(options)),
    )
    .addCommand(
      addConfirmation(
        orderCommand('hold', 'give this version to no device, neither in links nor in restores and updates'),
      ).action(async (version, options) => (await orders()).holdVersion(version, options)),
    )
    .addCommand(
      addConfirmation(orderCommand('resume', 'end the hold of a version, so that devices get it again')).action(
        async (version, options) => (await orders()).resumeVersion(version, options),
      ),
    )
    .addCommand(
      addConfirmation(orderCommand('use', 'give this version to every device; "newest" ends this')).action(
        async (version, options) => (await orders()).useVersion(version, options),
      ),
    )
    .addHelpText('after', '\nExample:\n  $ webdist packages pull && webdist packages verify');
}

const orders = () => import('./orders.ts');

/** A command that running services follow. */
const orderCommand = (name: string, description: string): Command =>
  new Command(name)
    .description(`${description}; every running service follows within a second`)
    .argument('<version>', 'AppleVersionID, or a version in the packages folder such as 1.4.0')
    .option('--app <app>', 'bundle id or AppleItemID (default: the only app)')
    .option('--wait', 'return when every running service follows the order')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExample:\n  $ webdist packages ${name} 6500000102 --wait`);
