/** `webdist sandbox`: only the simulated App Store Connect and device, for a service that runs elsewhere. */

import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { readSettings, readStart } from '../config.ts';
import { sandboxDeviceCommand } from './sandbox-device.ts';

export function sandboxCommand(): Command {
  return new Command('sandbox')
    .description('start only the simulated App Store Connect and write the settings a service needs to use it')
    .option('--port <number>', 'port to listen on', portNumber, 0)
    .option('--env-file <file>', 'write the settings there instead of to stdout')
    .option('--url <address>', 'address under which the service reaches it, when that is not HOST and the port')
    .addHelpText('after', '\nExample:\n  $ webdist sandbox --port 8090 --env-file sandbox.env')
    .action(runSandbox)
    .addCommand(sandboxDeviceCommand());
}

type Options = { readonly port: number; readonly envFile?: string; readonly url?: string };

async function runSandbox({ port, envFile, url }: Options): Promise<void> {
  const { openSandbox, settingsText } = await import('../sandbox/sandbox.ts');
  const { HOST: host } = readSettings(['HOST']);
  const { dataDir } = readStart();
  const sandbox = await openSandbox({ dataDir, host, port, ownCommand: true, ...(url && { baseUrl: url }) });
  const text = settingsText(sandbox.settings);
  if (envFile) await writeFile(envFile, text, { mode: 0o600 });
  else process.stdout.write(text);
  process.stderr.write(
    `The simulated App Store Connect listens on ${sandbox.baseUrl}. No device installs with its tokens.\n`,
  );
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void sandbox.close().then(() => process.exit(0)));
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('Expected is a port, 0 to 65535.');
  return port;
}
