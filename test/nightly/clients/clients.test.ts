/**
 * Public clients of App Store Connect, unchanged, against the simulated one: list, create, read the app's key, pages of
 * domains, an error. Each is installed from its registry, and skipped by name where that is not possible.
 */

import { execFile } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { APP, call, DOMAINS, domainEntity, newKey, pemOf } from '../../harness/apple-client.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const run = promisify(execFile);

type Client = { readonly requirement: string; readonly program: string };

/** asc-go (Go) is not among them: its module is not served to these tests. `bearer.test.ts` has JWTs like its own. */
const clients: readonly Client[] = [
  { requirement: 'appstore-connect-sdk@2.0.0', program: 'appstore-connect-sdk.mjs' },
  { requirement: 'node-app-store-connect-api@5.0.6', program: 'node-app-store-connect-api.mjs' },
  { requirement: '@rage-against-the-pixel/app-store-connect-api@4.4.1', program: 'rage-against-the-pixel.mjs' },
  { requirement: 'codemagic-cli-tools==0.70.0', program: 'codemagic_cli_tools.py' },
  { requirement: 'appstoreconnect==0.10.1', program: 'appstoreconnect_client.py' },
];

/** Installs a client beside its program; returns the command that runs it. */
async function install({ requirement, program }: Client, folder: string): Promise<string[]> {
  const file = join(folder, program);
  copyFileSync(new URL(program, import.meta.url), file);
  if (program.endsWith('.mjs')) {
    await run('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', requirement]);
    return [process.execPath, file];
  }
  await run('python3', ['-m', 'venv', join(folder, 'venv')]);
  await run(join(folder, 'venv/bin/pip'), ['install', '--quiet', '--disable-pip-version-check', requirement]);
  return [join(folder, 'venv/bin/python'), file];
}

/** What the program prints. */
async function resultOf(t: Test, [command = '', ...args]: string[]): Promise<unknown> {
  const sandbox = await startSandbox(t);
  for (const n of [1, 2, 3]) await call(sandbox, 'POST', DOMAINS, domainEntity(`d${n}.example.com`));
  const { settings } = sandbox;
  const { stdout } = await run(command, args, {
    env: {
      PATH: process.env['PATH'],
      BASE_URL: sandbox.baseUrl,
      ISSUER_ID: settings['ASC_ISSUER_ID'],
      KEY_ID: settings['ASC_KEY_ID'],
      PRIVATE_KEY: Buffer.from(settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString(),
      PUBLIC_KEY: pemOf(newKey().publicKey),
      APP,
    },
  });
  return JSON.parse(stdout);
}

for (const client of clients)
  t.test(client.requirement, async (t) => {
    let command: string[];
    try {
      command = await install(client, temporaryFolder(t));
    } catch (error) {
      const why = String(error).trim().split('\n').at(-1);
      t.test(client.requirement, { skip: `cannot be installed: ${why}` }, async () => undefined);
      return;
    }
    t.strictSame(await resultOf(t, command), {
      apps: [APP],
      versions: 1,
      isKeyOfApp: true,
      domains: ['d1.example.com', 'd2.example.com', 'd3.example.com'],
      error: 'NOT_FOUND',
    });
  });
