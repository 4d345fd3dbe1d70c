/**
 * The stage for container tests of several replicas: a network with the simulated App Store Connect, PostgreSQL and
 * Redis.
 */

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { parseEnv, promisify } from 'node:util';
import { PostgreSqlContainer } from '@testcontainers/postgresql';
import type { Test } from 'tap';
import { GenericContainer, Network, type StartedTestContainer, Wait } from 'testcontainers';

export const image = process.env['TEST_IMAGE'] ?? '';
/** Why containers of webdist cannot run here, or false. */
export const noImage: string | false = image === '' && 'TEST_IMAGE does not name an image';

const execute = promisify(execFile);

/** Runs the `docker` command without blocking the event loop, so that the load continues. Returns its output. */
export const docker = async (...args: string[]): Promise<string> => (await execute('docker', args)).stdout.trim();

type Environment = Record<string, string>;

export type Stage = Awaited<ReturnType<typeof openStage>>;

/** A container of the stage, by the name it has in its network. */
export type Part = { readonly name: string; readonly id: string };

/** The disks are small, so that a test can fill them. */
const POSTGRES_DISK = 'size=192m';
const REDIS_DISK = 'rw,size=2m';

/** Starts everything but replicas. All of it, replicas included, is removed with the test. */
export async function openStage(t: Test, name: string) {
  const run = randomUUID();
  const labels = { 'webdist.test': name, 'webdist.test.run': run };
  const volume = `webdist-test-${run}`;
  const network = await new Network().start();
  t.teardown(async () => {
    // Includes those that never became ready.
    const ids = await docker('ps', '-aq', '--filter', `label=webdist.test.run=${run}`);
    await Promise.all(ids.split('\n').map((id) => docker('rm', '-f', '-v', id)));
    await docker('volume', 'rm', '-f', volume);
    await network.stop();
  });
  const start = (container: GenericContainer, alias: string) =>
    container.withNetwork(network).withNetworkAliases(alias).withLabels(labels).start();
  // A disk in memory exists only while a container uses it. While PostgreSQL is down, the keeper uses it.
  await docker('volume', 'create', '-o', 'type=tmpfs', '-o', 'device=tmpfs', '-o', `o=${POSTGRES_DISK}`, volume);
  const disk = (target: string) => [{ source: volume, target }];
  await start(
    new GenericContainer('redis:7').withCommand(['sleep', 'infinity']).withBindMounts(disk('/kept')),
    'keeper',
  );
  const [sandbox, postgres, redis] = await Promise.all([
    start(
      new GenericContainer(image)
        .withCommand(['sandbox', '--port', '8090', '--url', 'http://sandbox:8090', '--env-file', '/data/sandbox.env'])
        .withWaitStrategy(Wait.forLogMessage('listens on')),
      'sandbox',
    ),
    start(new PostgreSqlContainer('postgres:17').withBindMounts(disk('/var/lib/postgresql/data')), 'postgres'),
    start(
      new GenericContainer('redis:7')
        .withTmpFs({ '/data': REDIS_DISK })
        .withWaitStrategy(Wait.forLogMessage('Ready to accept connections')),
      'redis',
    ),
  ]);
  const fileIn = (path: string) =>
    docker('exec', sandbox.getId(), 'node', '-p', 'fs.readFileSync(process.argv[1], "utf8")', path);
  const environment: Environment = {
    ...(parseEnv(await fileIn('/data/sandbox.env')) as Environment),
    WEBDIST_KEY: 'env://DISTRIBUTION_KEY',
    DISTRIBUTION_KEY: await fileIn('/data/distribution-key.pem'),
    WEBDIST_LEDGER: 'postgres://test:test@postgres:5432/test',
    WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
    WEBDIST_REDIS_URL: 'redis://redis:6379',
    WEBDIST_ANONYMOUS: 'any',
    WEBDIST_RATE_LIMIT: '1000000000',
    WEBDIST_RATE_LIMIT_ADDRESS: '1000000000',
  };
  const part = (alias: string, container: StartedTestContainer): Part => ({ name: alias, id: container.getId() });
  return {
    start,
    network: network.getName(),
    sandbox: part('sandbox', sandbox),
    postgres: part('postgres', postgres),
    redis: part('redis', redis),
    /** Starts a replica with these settings in addition to the usual ones; resolves once it is ready. */
    async startReplica(alias: string, more: Environment = {}, tmpFs: Record<string, string> = {}) {
      const container = new GenericContainer(image)
        .withEnvironment({ ...environment, ...more })
        .withTmpFs(tmpFs)
        .withExposedPorts(8080)
        .withWaitStrategy(Wait.forHttp('/health/ready', 8080));
      const replica = await start(container, alias);
      const url = `http://${replica.getHost()}:${replica.getMappedPort(8080)}`;
      return { ...part(alias, replica), url, settings: { ...environment, ...more } };
    },
  };
}
