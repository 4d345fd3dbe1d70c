/**
 * A service starts and issues tokens with the variables that its surroundings add or write in their own way: the pods of
 * `deploy/base` among many Services, a Compose project with thirty services, and a file of variables from Windows.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import type { Environment } from '../../src/environment.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

/** The variables of a Service, as a kubelet writes them (pkg/kubelet/envvars), and as Docker's links did. */
function serviceVariables(name: string, ports: readonly number[]): Environment {
  const prefix = name.toUpperCase().replaceAll('-', '_');
  const [first] = ports;
  return {
    [`${prefix}_SERVICE_HOST`]: '10.0.0.1',
    [`${prefix}_SERVICE_PORT`]: String(first),
    [`${prefix}_SERVICE_PORT_HTTP`]: String(first),
    [`${prefix}_PORT`]: `tcp://10.0.0.1:${first}`,
    ...Object.fromEntries(
      ports.flatMap((port) => [
        [`${prefix}_PORT_${port}_TCP`, `tcp://10.0.0.1:${port}`],
        [`${prefix}_PORT_${port}_TCP_PROTO`, 'tcp'],
        [`${prefix}_PORT_${port}_TCP_PORT`, String(port)],
        [`${prefix}_PORT_${port}_TCP_ADDR`, '10.0.0.1'],
      ]),
    ),
  };
}

const linkVariables = (name: string): Environment => ({
  ...serviceVariables(name, [8080]),
  [`${name.toUpperCase().replaceAll('-', '_')}_NAME`]: `/shop-webdist-1/${name}`,
  [`${name.toUpperCase().replaceAll('-', '_')}_ENV_WEBDIST_DATA_DIR`]: '/data',
});

/** Names of Services beside it; some make variables with the names of settings. */
const neighbours = [
  'webdist',
  'webdist-operator',
  'webdist-data-dir',
  'webdist-ledger',
  'webdist-redis-url',
  'asc',
  'host',
];
const names = [...neighbours, ...Array.from({ length: 23 }, (_, index) => `webdist-worker-${index}`)];
const merged = (variables: (name: string) => Environment): Environment => Object.assign({}, ...names.map(variables));

/** The settings of the ConfigMap, with the files of the Secret in a folder. */
function settingsOfBase(folder: string, sandbox: Sandbox): Environment {
  const { data } = parse(readFileSync('deploy/base/configmap.yaml', 'utf8')) as { data: Record<string, string> };
  const files: Record<string, string> = {
    'distribution-key.pem': readFileSync(new URL(sandbox.settings['WEBDIST_KEY'] ?? ''), 'utf8'),
    'app-store-connect.p8': Buffer.from(sandbox.settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString(),
    'ledger-url': `sqlite://${folder}/ledger.sqlite\n`,
    'ledger-secret': 'only-for-this-test-only-for-this-test\r\n',
    'redis-url': 'redis://127.0.0.1:1\n',
  };
  mkdirSync(join(folder, 'secrets'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'secrets', name), text);
  const here = Object.entries(data).map(([name, value]) => [name, value.replace('/secrets/', `${folder}/secrets/`)]);
  const { WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_DOMAIN, ASC_KEY_ID, ASC_ISSUER_ID, ASC_BASE_URL } =
    sandbox.settings;
  const account = { WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_DOMAIN, ASC_KEY_ID, ASC_ISSUER_ID, ASC_BASE_URL };
  return { NODE_ENV: 'production', ...Object.fromEntries(here), ...account };
}

/** A file of variables as an editor on Windows saves it. */
const windowsFile = (settings: Environment) =>
  [
    '# webdist',
    '',
    ...Object.entries(settings).map(([name, value]) => `${name}=${value}`),
    'WEBDIST_CHALLENGE=',
    '',
  ].join('\r\n');

/** As `docker run --env-file` reads it: up to the line feed, so that the carriage return belongs to the value. */
const readByDocker = (text: string): Environment =>
  Object.fromEntries(
    text
      .split('\n')
      .filter((line) => line.includes('=') && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

const surroundings: Record<string, (t: Test, sandbox: Sandbox) => Environment> = {
  'deploy/base among thirty Services': (t, sandbox) => ({
    ...merged((name) => serviceVariables(name, [80, 8080, 9090])),
    ...settingsOfBase(temporaryFolder(t), sandbox),
  }),
  'a Compose project with thirty services': (_, sandbox) => ({ ...merged(linkVariables), ...sandbox.settings }),
  'a file with CRLF, read by Docker': (_, sandbox) => readByDocker(windowsFile(sandbox.settings)),
  'a file with CRLF, read by Node.js': (_, sandbox) => parseEnv(windowsFile(sandbox.settings)) as Environment,
};

for (const [name, environment] of Object.entries(surroundings))
  t.test(name, async (t) => {
    const sandbox = await startSandbox(t);
    const { url } = await startReady(t, undefined, environment(t, sandbox));
    const response = await fetch(`${url}/install-token`, {
      method: 'POST',
      headers: { origin: `https://${sandbox.settings['WEBDIST_DOMAIN']}` },
    });
    t.equal(response.status, 200);
  });
