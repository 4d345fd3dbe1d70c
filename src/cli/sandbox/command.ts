/** The command line of `webdist sandbox`. */

import { Command } from 'commander';
import {
  countryCode,
  dottedVersion,
  platformName,
  portNumber,
  webAddress,
  webUrl,
  wholeSeconds,
} from '../option-values.ts';

const work = () => import('./run.ts');
const deviceWork = () => import('./device.ts');

export function sandboxCommand(): Command {
  return new Command('sandbox')
    .description('start only the simulated App Store Connect, and write the settings that a service needs to use it')
    .option('--port <number>', 'port to listen on', portNumber, 0)
    .option('-e, --env-file <file>', 'write the settings to this file instead of stdout')
    .option('--url <address>', 'URL at which the service reaches it (default: HOST and the port)', webAddress)
    .option(
      '--demo-port <number>',
      'port of the demo page, if a proxy serves the page and the service on the same host',
      portNumber,
    )
    .option('--json', 'print the settings as JSON')
    .addHelpText(
      'after',
      '\nNode.js itself has an option --env-file. With `node dist/main.js`, use -e, or\nput -- before or after the file name: `node -- dist/main.js …`,\n`node dist/main.js -- …`.\n\nExample:\n  $ webdist sandbox --port 8090 --env-file sandbox.env',
    )
    .action(async (options) => (await work()).runSandbox(options))
    .addCommand(sandboxDeviceCommand());
}

function sandboxDeviceCommand(): Command {
  return new Command('device').description('the simulated device').addCommand(
    new Command('install')
      .description(
        'simulate a device that installs from a website, updates, deletes, reinstalls and restores from a backup; print each step',
      )
      .argument('<url>', 'URL of the running service, such as http://localhost:8080', webAddress)
      .option(
        '--sandbox <address>',
        'URL of `webdist sandbox`; needed if the service is not in sandbox mode',
        webAddress,
      )
      .option('--app <app>', 'bundle id or AppleItemID (default: the only app)')
      .option(
        '--pause <seconds>',
        'seconds to wait before the reinstall; after one token lifetime it counts as a redownload',
        wholeSeconds,
      )
      .option('--page <address>', 'URL of the page with the link (default: the registered domain)', webUrl)
      .option('--platform <name>', 'iOS or iPadOS', platformName)
      .option('--os <version>', 'version of the system, such as 17.4', dottedVersion)
      .option('--model <name>', 'model, such as iPad14,3')
      .option('--region <code>', 'where the device is, such as IE', countryCode)
      .option('--once', 'install only')
      .option(
        '--wait <seconds>',
        'how long to wait for the service to notice the update (default: 15); then the rest is skipped',
        wholeSeconds,
      )
      .option('--json', 'print JSON')
      .addHelpText('after', '\nExample:\n  $ webdist sandbox device install http://localhost:8080')
      .action(async (url, options) => (await deviceWork()).install(url, options)),
  );
}
