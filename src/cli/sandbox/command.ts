/** What is said on the command line for `webdist sandbox`; `../sandbox.ts` and `../sandbox-device.ts` do it, loaded when called. */

import { Command } from 'commander';
import { portNumber, wholeSeconds } from '../values.ts';

const work = () => import('./run.ts');
const deviceWork = () => import('./device.ts');

export function sandboxCommand(): Command {
  return new Command('sandbox')
    .description('start only the simulated App Store Connect and write the settings a service needs to use it')
    .option('--port <number>', 'port to listen on', portNumber, 0)
    .option('--env-file <file>', 'write the settings there instead of to stdout')
    .option('--url <address>', 'address under which the service reaches it, when that is not HOST and the port')
    .addHelpText('after', '\nExample:\n  $ webdist sandbox --port 8090 --env-file sandbox.env')
    .action(async (options) => (await work()).runSandbox(options))
    .addCommand(sandboxDeviceCommand());
}

function sandboxDeviceCommand(): Command {
  return new Command('device').description('the simulated iPhone').addCommand(
    new Command('install')
      .description('install from a website, update, delete and reinstall, restore from a backup; prints each step')
      .argument('<url>', 'address of the running service, such as http://localhost:8080')
      .option('--sandbox <address>', 'address of `webdist sandbox`, when the service is not in sandbox mode')
      .option('--app <app>', 'bundle id or AppleItemID; optional when there is one app')
      .option(
        '--pause <seconds>',
        'wait before the reinstall; after one token lifetime it is a redownload',
        wholeSeconds,
      )
      .option('--once', 'only install')
      .option('--json', 'print JSON')
      .addHelpText('after', '\nExample:\n  $ webdist sandbox device install http://localhost:8080')
      .action(async (url, options) => (await deviceWork()).install(url, options)),
  );
}
