/** The command line of `webdist apps`. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function appsCommand(): Command {
  return new Command('apps')
    .description('apps at App Store Connect')
    .addCommand(
      new Command('list')
        .description('list the apps that the API key has access to')
        .option('--json', 'print JSON')
        .action(async (options) => (await work()).listApps(options)),
    )
    .addCommand(
      new Command('find')
        .description("print an app's AppleItemID and the id of its distribution key")
        .argument('<app>', 'bundle id, AppleItemID or name')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist apps find com.example.camping')
        .action(async (app, options) => (await work()).showApp(app, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist apps list');
}
