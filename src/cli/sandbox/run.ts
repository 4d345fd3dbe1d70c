/** `webdist sandbox`: only the simulated App Store Connect and device, for a service that runs elsewhere. */

import { writeFile } from 'node:fs/promises';
import { dataDirOf, only, processSettings } from '../../config/config.ts';

type Options = { readonly port: number; readonly envFile?: string; readonly url?: string };

export async function runSandbox({ port, envFile, url }: Options): Promise<void> {
  const { openSandbox, settingsText } = await import('../../sandbox/sandbox.ts');
  const { HOST: host, ...folder } = only(['HOST', 'WEBDIST_DATA_DIR'], processSettings());
  const dataDir = dataDirOf(folder);
  const sandbox = await openSandbox({ dataDir, host, port, ...(url && { baseUrl: url }) });
  const text = settingsText(sandbox.settings);
  if (envFile) await writeFile(envFile, text, { mode: 0o600 });
  else process.stdout.write(text);
  process.stderr.write(
    `The simulated App Store Connect listens on ${sandbox.baseUrl}. No device installs with its tokens.\n`,
  );
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void sandbox.close().then(() => process.exit(0)));
}
