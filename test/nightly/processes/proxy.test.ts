/** HTTPS_PROXY and NO_PROXY hold for every request to another server; a refusing proxy has its own message. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { listen } from '../../harness/port.ts';
import { startProcess, webdist } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { isReady, settingsIn } from '../../harness/service.ts';

/** A proxy that refuses everything with a status, and records for which host. */
async function openProxy(t: Test, status: number) {
  const hosts: string[] = [];
  const proxy = createServer((request, response) => {
    hosts.push(new URL(request.url ?? '').host);
    response.writeHead(status).end();
  });
  proxy.on('connect', ({ url = '' }, socket) => {
    hosts.push(url);
    socket.on('error', () => undefined).end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\n\r\n`);
  });
  const url = `http://user:hunter2@127.0.0.1:${await listen(proxy)}`;
  t.teardown(() => proxy.close());
  return { url, hosts };
}

/** Everything that webdist calls, each at a host of its own. */
function settings(t: Test, more: Environment): Environment {
  const folder = temporaryFolder(t);
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' });
  return {
    ...settingsIn(folder),
    WEBDIST_REGISTER: 'check',
    WEBDIST_KEY_ID: '',
    WEBDIST_KEY: [
      'hashivault://key',
      'awskms:///arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab',
      'azurekms://shop/key',
      'gcpkms://projects/shop/locations/europe-west3/keyRings/shop/cryptoKeys/shop/cryptoKeyVersions/1',
    ].join(' '),
    GOOGLE_APPLICATION_CREDENTIALS: googleCredentials(folder),
    VAULT_ADDR: 'https://vault.example.com',
    VAULT_TOKEN: 'hunter2',
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'hunter2',
    AZURE_TENANT_ID: '00000000-0000-0000-0000-000000000001',
    AZURE_CLIENT_ID: '00000000-0000-0000-0000-000000000002',
    AZURE_CLIENT_SECRET: 'hunter2',
    WEBDIST_PACKAGE_URL: 'https://packages.example.com/adp',
    WEBDIST_AUTH_JWKS_URL: 'https://login.example.com/jwks',
    WEBDIST_AUTH_ISSUER: 'https://login.example.com',
    WEBDIST_AUTH_AUDIENCE: 'webdist',
    ASC_KEY_ID: 'ABC123DEFG',
    ASC_PRIVATE_KEY: String(pem),
    WEBDIST_DATA_DIR: join(folder, 'data'),
    ...more,
  };
}

/** A service account whose access tokens need no request: Google's library signs them itself. */
function googleCredentials(folder: string): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const file = join(folder, 'account.json');
  const account = {
    type: 'service_account',
    client_email: 'webdist@shop.iam.gserviceaccount.com',
    private_key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    token_uri: 'https://oauth2.googleapis.com/token',
  };
  writeFileSync(file, JSON.stringify(account));
  return file;
}

const HOSTS = [
  'cloudkms.googleapis.com',
  'shop.vault.azure.net',
  'api.appstoreconnect.apple.com',
  'vault.example.com',
  'kms.eu-west-1.amazonaws.com',
  'packages.example.com',
  'login.example.com',
];

type Finding = { readonly id: string; readonly found: string; readonly hint?: string };

async function doctor(env: Environment) {
  const { stdout, stderr } = await webdist(['doctor', '--json'], env);
  return { text: stdout + stderr, findings: JSON.parse(stdout).checks as readonly Finding[] };
}

for (const [status, reason] of [
  [407, 'the proxy in HTTPS_PROXY or HTTP_PROXY requires a login (407)'],
  [403, 'the proxy in HTTPS_PROXY or HTTP_PROXY refuses (403)'],
] as const)
  t.test(`a proxy that answers ${status}: every backend uses it, and says so`, { timeout: 90_000 }, async (t) => {
    const proxy = await openProxy(t as Test, status);
    const { text } = await doctor(settings(t as Test, { HTTPS_PROXY: proxy.url }));
    for (const host of HOSTS) t.ok(proxy.hosts.includes(`${host}:443`), `${host} through the proxy`);
    t.equal(text.split(reason).length - 1, HOSTS.length, text);
    t.notMatch(text, /hunter2/);
  });

t.test('NO_PROXY and this machine are direct; an invalid proxy is reported', { timeout: 60_000 }, async (t) => {
  const proxy = await openProxy(t as Test, 407);
  const through = { HTTP_PROXY: proxy.url, https_proxy: proxy.url };
  await doctor(settings(t as Test, { ...through, NO_PROXY: '.example.com,.invalid' }));
  t.notMatch(proxy.hosts.join(' '), /example\.com/);
  proxy.hosts.length = 0;
  const sandbox = await startSandbox(t as Test);
  const env = { ...sandbox.settings, WEBDIST_MODE: 'production', WEBDIST_DATA_DIR: temporaryFolder(t as Test) };
  const { url } = await startProcess(t as Test, { ...env, ...through, HOST: '127.0.0.1' });
  await isReady(url);
  t.notMatch(proxy.hosts.join(' '), /127\.0\.0\.1|localhost/, 'the simulated App Store Connect on this machine');
  const { code, stderr } = await webdist(['config', 'check'], { HTTPS_PROXY: 'user:hunter2@proxy:3128' });
  t.equal(code, 1);
  t.match(stderr, /^webdist: One setting is wrong:\n {2}HTTPS_PROXY: expected the URL of a proxy/);
  t.notMatch(stderr, /hunter2/);
});
