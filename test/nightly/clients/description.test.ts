/**
 * The API's description, as other people's tools read it: generators of clients accept it, and schemathesis, which derives
 * requests from it, finds nothing. Each tool is installed from its registry, and skipped by name where that is not possible.
 */

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { isInstalled, npmInstall, pipInstall, run } from '../../harness/registry.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { settingsIn, startReady } from '../../harness/service.ts';

const API_KEY = 'key-of-a-server';
const everything: Environment = {
  WEBDIST_OAUTH: 'own',
  WEBDIST_OAUTH_LOGIN_URL: 'https://shop.example.com/login',
  WEBDIST_BUTTON_ERRORS: '1',
  WEBDIST_API_KEYS: `server:${createHash('sha256').update(API_KEY).digest('hex')}`,
  WEBDIST_RATE_LIMIT: '1000000',
  WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
};

const JAR = 'org.openapitools:openapi-generator-cli:7.25.0';

/** Each reads openapi.json in its folder, and exits with a code other than 0 if it does not accept it. */
const generators = [
  {
    name: 'openapi-typescript',
    install: npmInstall('openapi-typescript@7.13.0', 'typescript@5'),
    command: ['npx', 'openapi-typescript', 'openapi.json', '-o', 'client.ts'],
  },
  {
    name: '@hey-api/openapi-ts',
    install: npmInstall('@hey-api/openapi-ts@0.95.0', 'typescript@5'),
    command: ['npx', 'openapi-ts', '-i', 'openapi.json', '-o', 'client'],
  },
  {
    name: 'openapi-python-client',
    install: pipInstall('openapi-python-client==0.29.1'),
    command: ['v/bin/openapi-python-client', 'generate', '--path', 'openapi.json', '--meta', 'none'],
  },
  {
    name: 'openapi-generator',
    install: ['mvn', '-q', 'dependency:copy', `-Dartifact=${JAR}`, '-DoutputDirectory=.', '-Dmdep.stripVersion=true'],
    command: [
      'java',
      '-jar',
      'openapi-generator-cli.jar',
      'generate',
      '-g',
      'java',
      '-i',
      'openapi.json',
      '-o',
      'client',
    ],
  },
  {
    name: 'redocly lint',
    install: npmInstall('@redocly/cli@2.77.0'),
    command: ['npx', 'redocly', 'lint', 'openapi.json'],
  },
];

t.test('generators of clients', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), everything);
  const description = await (await fetch(`${url}/openapi.json`)).text();
  for (const { name, install, command } of generators)
    await t.test(name, async (t) => {
      const folder = temporaryFolder(t);
      writeFileSync(join(folder, 'openapi.json'), description);
      if (!(await isInstalled(t, name, install, folder))) return;
      const [program = '', ...args] = command;
      await t.resolves(run(program, args, { cwd: folder, timeout: 120_000 }));
    });
});

t.test('schemathesis, with all checks', { timeout: 900_000 }, async (t) => {
  const folder = temporaryFolder(t);
  if (!(await isInstalled(t, 'schemathesis', pipInstall('schemathesis==4.32.5'), folder))) return;
  const sandbox = await startReady(t, await startSandbox(t), everything);
  const production = await startReady(t, undefined, settingsIn(temporaryFolder(t), everything));
  const strict = { ...everything, WEBDIST_ANONYMOUS: 'none' };
  const withoutPages = await startReady(t, undefined, settingsIn(temporaryFolder(t), strict));
  const authorization = ['-H', `Authorization: Bearer ${API_KEY}`];
  for (const [name, { url }, headers] of [
    ['sandbox mode, a page', sandbox, []],
    ['production, a server', production, authorization],
    ['production, a page of the website', production, ['-H', 'Origin: https://shop.example.com']],
    ['without anonymous callers', withoutPages, authorization],
  ] as const) {
    const args = ['run', `${url}/openapi.json`, '--checks', 'all', '--max-examples', '20', '--seed', '1', ...headers];
    const result = await run('v/bin/schemathesis', args, { cwd: folder, maxBuffer: 2 ** 26 }).catch((error) => error);
    t.match(result.stdout, /\d+ passed/, name);
    t.notMatch(result.stdout, /Failures:/, `${name}: ${String(result.stdout).split('Failures:')[1]}`);
  }
});
