/** `webdist sandbox`: runs only the simulated App Store Connect and device, for a service that runs elsewhere. */

import { writeFile } from 'node:fs/promises';
import { dataDirOf, only, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { openLog } from '../../log.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { type JsonOption, print, say } from '../terminal.ts';

type Options = JsonOption & {
  readonly port: number;
  readonly envFile?: string;
  readonly url?: string;
  readonly demoPort?: number;
};

export async function runSandbox({ port, envFile, url, demoPort, json }: Options): Promise<void> {
  const { openSandbox, settingsText } = await import('../../sandbox/sandbox.ts');
  const { HOST: host, ...folder } = only(['HOST', 'WEBDIST_DATA_DIR'], processSettings());
  const dataDir = dataDirOf(folder);
  const sandbox = await openSandbox({
    dataDir,
    host,
    port,
    log: openLog('warn', process.stderr),
    ...(url && { baseUrl: url }),
  });
  if (demoPort !== undefined) await serveDemo(sandbox, host, demoPort);
  if (envFile) await writeEnvFile(envFile, settingsText(sandbox.settings));
  else if (json) print(sandbox.settings, json, []);
  else process.stdout.write(settingsText(sandbox.settings));
  say(
    `The simulated App Store Connect listens on ${sandbox.baseUrl}. Real devices refuse tokens that are made with it.`,
  );
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void sandbox.close().then(() => process.exit(0)));
}

/**
 * Serves the demo page on a separate port. The page calls the service on the page's own host, so a proxy must serve both
 * on one host.
 */
async function serveDemo(sandbox: Sandbox, host: string, port: number): Promise<void> {
  const { fastify } = await import('fastify');
  const { validatorCompiler } = await import('fastify-type-provider-zod');
  const { answerProblems } = await import('../../http/problems.ts');
  const { demoPage } = await import('../../sandbox/website/demo-page.ts');
  const server = fastify();
  server.setValidatorCompiler(validatorCompiler);
  answerProblems(server, '/problems/');
  const domain = sandbox.settings['WEBDIST_DOMAIN'] ?? '';
  const links = ['/problems', '/.well-known/jwks.json'];
  await server.register(demoPage({ sandbox, domain, links, released: async () => undefined }));
  await server.listen({ host, port });
}

/** The file contains a private key. */
async function writeEnvFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { mode: 0o600 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WebdistError('usage_invalid', `The file ${path} cannot be written (${code}).`, { cause });
  }
}
