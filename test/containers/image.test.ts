/**
 * The image itself: small, without a shell or privileges, quickly ready, and of the version on its label. Needs a
 * container engine and the image: `TEST_IMAGE=webdist:dev tap test/containers/image.test.ts`.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { until } from '../harness/until.ts';

const image = process.env['TEST_IMAGE'] ?? '';
const skip = image === '' && 'TEST_IMAGE does not name an image';
const slim = process.env['TEST_SLIM_IMAGE'] ?? '';
const MOST_BYTES = 250_000_000;
const MOST_BYTES_SLIM = 180_000_000;
const READY_MS = 2000;
const hardened = ['--read-only', '--cap-drop', 'ALL', '--user', '65532', '--security-opt', 'no-new-privileges'];

const docker = (...args: string[]) => execFileSync('docker', args, { encoding: 'utf8' }).trim();
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

t.test('what it is', { skip }, async (t) => {
  const [{ Size, Config }] = JSON.parse(docker('image', 'inspect', image)) as [
    { Size: number; Config: { User: string; Labels: Record<string, string> } },
  ];
  t.ok(Size < MOST_BYTES, `${Size} bytes`);
  t.equal(Config.User, '65532:65532');
  t.equal(Config.Labels['org.opencontainers.image.version'], version);
  t.equal(docker('run', '--rm', ...hardened, image, '--version'), version);
  t.not(spawnSync('docker', ['run', '--rm', '--entrypoint', 'sh', image, '-c', 'true']).status, 0, 'no shell');
});

t.test('the slim one', { skip: slim === '' && 'TEST_SLIM_IMAGE does not name an image' }, async (t) => {
  const [{ Size }] = JSON.parse(docker('image', 'inspect', slim)) as [{ Size: number }];
  t.ok(Size < MOST_BYTES_SLIM, `${Size} bytes`);
  t.equal(docker('run', '--rm', ...hardened, slim, '--version'), version);
});

t.test('without any privilege: ready soon, healthy, stopped in an orderly way', { skip }, async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const env = {
    WEBDIST_DOMAIN: 'shop.example.com',
    WEBDIST_APPLE_ITEM_ID: '6500000001',
    WEBDIST_BUNDLE_ID: 'com.example.trailmap',
    WEBDIST_KEY: 'env://DISTRIBUTION_KEY',
    DISTRIBUTION_KEY: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    WEBDIST_KEY_ID: '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11',
    WEBDIST_REGISTER: 'off',
    WEBDIST_ANONYMOUS: 'any',
  };
  const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  const id = docker(
    'run',
    '-d',
    '--label',
    'webdist.test=image',
    ...hardened,
    ...variables,
    '-p',
    '127.0.0.1::8080',
    image,
  );
  t.teardown(() => docker('rm', '-f', '-v', id));
  const url = `http://${docker('port', id, '8080/tcp')}`;
  const isUp = () =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  await until(isUp, () => `a ready container\n${docker('logs', id)}`);
  const tookMs = Date.now() - Date.parse(docker('inspect', '-f', '{{.State.StartedAt}}', id));
  t.comment(`ready ${tookMs} ms after its start; the aim is ${READY_MS} ms on a machine with nothing else to do`);
  const answer = await fetch(`${url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  t.equal(answer.status, 200);
  t.ok(
    await until(() => docker('inspect', '-f', '{{.State.Health.Status}}', id) === 'healthy', 'its own healthcheck', 40),
  );
  docker('stop', '-t', '20', id);
  t.equal(docker('inspect', '-f', '{{.State.ExitCode}}', id), '0');
});

t.test('HOST=:: answers over IPv6 and IPv4; the health check ignores proxies', { skip }, async (t) => {
  const network = `webdist-test-${process.pid}`;
  docker('network', 'create', '--ipv6', '--subnet', `fd00:77:${(process.pid % 65536).toString(16)}::/64`, network);
  const proxies = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy'].flatMap((name) => ['-e', `${name}=http://127.0.0.1:1`]);
  const id = docker(
    ...['run', '-d', '--label', 'webdist.test=image', '--network', network, ...hardened],
    ...['--tmpfs', '/data:uid=65532', '-e', 'WEBDIST_MODE=sandbox', '-e', 'HOST=::', '-e', 'NODE_USE_ENV_PROXY=1'],
    ...proxies,
    image,
  );
  t.teardown(() => {
    docker('rm', '-f', '-v', id);
    docker('network', 'rm', network);
  });
  const status = () => docker('inspect', '-f', '{{.State.Health.Status}}', id) === 'healthy';
  await until(status, () => `a healthy container\n${docker('logs', id)}`);
  const [{ NetworkSettings }] = JSON.parse(docker('inspect', id)) as [
    { NetworkSettings: { Networks: Record<string, { IPAddress: string; GlobalIPv6Address: string }> } },
  ];
  const { IPAddress, GlobalIPv6Address } = NetworkSettings.Networks[network] ?? {};
  for (const host of [IPAddress, `[${GlobalIPv6Address}]`])
    t.equal((await fetch(`http://${host}:8080/health/live`)).status, 200, `from ${host}`);
});

t.test('with nothing set, two lines say how to continue', { skip }, async (t) => {
  const { status, stderr } = spawnSync('docker', ['run', '--rm', ...hardened, image], { encoding: 'utf8' });
  t.equal(status, 1);
  t.match(stderr.trim().split('\n'), [/^webdist: No app is configured\. For the demo, /, /^ {2}For production, /]);
  t.equal(stderr.trim().split('\n').length, 2);
});

t.test('the demo in one line', { skip }, async (t) => {
  const id = docker(
    'run',
    '-d',
    '--label',
    'webdist.test=image',
    '-p',
    '127.0.0.1::8080',
    '-e',
    'WEBDIST_MODE=sandbox',
    image,
  );
  t.teardown(() => docker('rm', '-f', '-v', id));
  const url = `http://${docker('port', id, '8080').split('\n')[0]}`;
  await until(async () => (await fetch(`${url}/health/ready`).catch(() => undefined))?.ok, 'the demo to be ready');
  t.match(await (await fetch(url)).text(), 'SANDBOX');
  t.match(await (await fetch(`${url}/demo/demo.js`)).text(), 'openJourney', 'with its script');
  t.match(await (await fetch(`${url}/install-token`, { method: 'POST' })).json(), { token: /^eyJ/ });
});
