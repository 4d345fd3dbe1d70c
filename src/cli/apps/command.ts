/** What is said on the command line for `webdist apps`; `../apps.ts` does it, loaded when it is called. */

import { Command } from 'commander';

const work = () => import('./run.ts');

export function appsCommand(): Command {
  return new Command('apps')
    .description('apps at App Store Connect')
    .addCommand(
      new Command('find')
        .description("an app's AppleItemID and the id of its distribution key")
        .argument('<bundle-id>', 'such as com.example.camping; an AppleItemID does too')
        .option('--json', 'print JSON')
        .addHelpText('after', '\nExample:\n  $ webdist apps find com.example.camping')
        .action(async (name, options) => (await work()).findApp(name, options)),
    )
    .addHelpText('after', '\nExample:\n  $ webdist apps find com.example.camping');
}
