/**
 * Three containers of the image, with PostgreSQL and Redis in containers beside them, behind a round-robin load
 * balancer. Needs a container engine and the image: `TEST_IMAGE=webdist:dev tap test/containers/replicas.test.ts`.
 */

import { generateKeyPairSync } from 'node:crypto';
import { PostgreSqlContainer } from '@testcontainers/postgresql';
import { RedisContainer } from '@testcontainers/redis';
import t from 'tap';
import { GenericContainer, Network, Wait } from 'testcontainers';
import { replicaSettings, sharedAsOne } from '../harness/replicated.ts';
import { openRoundRobin } from '../harness/round-robin.ts';

const image = process.env['TEST_IMAGE'];
/** The label by which the remains of a killed test are found and removed. */
const LABELS = { 'webdist.test': 'replicas' };

t.setTimeout(180_000);

t.test('three replicas in containers', { skip: !image && 'TEST_IMAGE does not name an image' }, async (test) => {
  const network = await new Network().start();
  const [postgres, redis] = await Promise.all([
    new PostgreSqlContainer('postgres:17')
      .withNetwork(network)
      .withNetworkAliases('postgres')
      .withLabels(LABELS)
      .start(),
    new RedisContainer('redis:7').withNetwork(network).withNetworkAliases('redis').withLabels(LABELS).start(),
  ]);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const user = `${postgres.getUsername()}:${postgres.getPassword()}`;
  const redisUser = redis.getPassword() ? `:${redis.getPassword()}@` : '';
  const environment = {
    ...replicaSettings,
    WEBDIST_DOMAIN: 'shop.example.com',
    WEBDIST_APPLE_ITEM_ID: '6500000001',
    WEBDIST_BUNDLE_ID: 'com.example.trailmap',
    WEBDIST_KEY: 'env://DISTRIBUTION_KEY',
    DISTRIBUTION_KEY: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    WEBDIST_KEY_ID: '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11',
    WEBDIST_REGISTER: 'off',
    WEBDIST_LEDGER: `postgres://${user}@postgres:5432/${postgres.getDatabase()}`,
    WEBDIST_REDIS_URL: `redis://${redisUser}redis:6379`,
  };
  const start = () =>
    new GenericContainer(image ?? '')
      .withNetwork(network)
      .withLabels(LABELS)
      .withEnvironment(environment)
      .withExposedPorts(8080)
      .withWaitStrategy(Wait.forHttp('/health/ready', 8080))
      .start();
  const replicas = await Promise.all([start(), start(), start()]);
  const balancer = await openRoundRobin(
    replicas.map((replica) => `http://${replica.getHost()}:${replica.getMappedPort(8080)}`),
  );
  test.teardown(async () => {
    await balancer.close();
    await Promise.all([...replicas, postgres, redis].map((container) => container.stop()));
    await network.stop();
  });
  await sharedAsOne(test, balancer.url);
});
