/** What is said on the command line for `webdist packages`; `../packages.ts` does it, loaded when it is called. */

import { Command } from 'commander';
import { portNumber } from '../values.ts';

const work = () => import('./run.ts');

export function packagesCommand(): Command {
  return new Command('packages')
    .description('packages of your apps: fetch, check and serve them')
    .addCommand(
      new Command('list')
        .description('versions at App Store Connect, and which of them are in the packages folder')
        .option('--app <app>', 'bundle id or AppleItemID; default: all apps of the settings')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).list(options)),
    )
    .addCommand(
      new Command('pull')
        .description('fetch the newest package of each app, check it, and switch to it')
        .option('--app <app>', 'bundle id or AppleItemID; default: all apps of the settings')
        .option('--release <version>', 'this version, such as 1.4.0, instead of the newest one with a package')
        .option('--version-id <id>', 'this version by its id at App Store Connect, where versions cannot be listed')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).pull(options)),
    )
    .addCommand(
      new Command('verify')
        .description('check every byte of a package; exit 1 when something is missing, added or changed')
        .argument('[folder]', 'one package; default: every one in the packages folder')
        .option('--json', 'print JSON')
        .action(async (folder, options) => (await work()).verify(folder, options)),
    )
    .addCommand(
      new Command('serve')
        .description('serve the packages folder to devices (behind your https), for those without a CDN')
        .option('--host <address>', 'address to listen on', '127.0.0.1')
        .option('--port <number>', 'port to listen on', portNumber, 8081)
        .action(async (options) => (await work()).serve(options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist packages pull && webdist packages verify');
}
