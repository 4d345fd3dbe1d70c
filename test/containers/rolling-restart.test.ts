/**
 * Three replicas behind the project's nginx are replaced one after the other under load: no request fails. Needs a
 * container engine and the image: `TEST_IMAGE=webdist:dev tap test/containers/rolling-restart.test.ts`.
 */

import { createPublicKey } from 'node:crypto';
import type { JWK } from 'jose';
import t from 'tap';
import { GenericContainer, Wait } from 'testcontainers';
import { verifyInstallToken } from '../../src/install-token/verify/verify.ts';
import { docker, noImage, openStage } from '../harness/containers.ts';
import { until } from '../harness/until.ts';
import { outcomesOf, startLoad } from './load.ts';

const PER_SECOND = 500;
/** As in docker/compose.yaml. */
const GRACE_SECONDS = '15';

t.setTimeout(240_000);

t.test('a rolling restart of three replicas', { skip: noImage }, async (t) => {
  const stage = await openStage(t, 'rolling-restart');
  const proxyImage = await GenericContainer.fromDockerfile('docker/nginx')
    .withBuildkit()
    .build('webdist-test-proxy', { deleteOnExit: false });
  const startReplica = () => stage.startReplica('webdist');
  const old = await Promise.all([startReplica(), startReplica(), startReplica()]);
  const proxy = await stage.start(
    proxyImage
      .withTmpFs({ '/tmp': 'rw', '/tls': 'rw,uid=33,gid=33,mode=0700' })
      .withExposedPorts(8080)
      .withWaitStrategy(Wait.forHttp('/', 8080)),
    'proxy',
  );
  const load = startLoad([`http://${proxy.getHost()}:${proxy.getMappedPort(8080)}`], { perSecond: PER_SECOND });
  const soFar = () => load.answers.length;
  await until(() => soFar() > PER_SECOND, 'answers before the first is stopped', 60);

  const exits: string[] = [];
  for (const { id } of old) {
    await docker('stop', '-t', GRACE_SECONDS, id);
    exits.push(await docker('inspect', '-f', '{{.State.ExitCode}}', id));
    await docker('rm', '-v', id);
    await startReplica();
    const before = soFar();
    await until(() => soFar() > before + PER_SECOND, 'answers with the new one', 60);
  }
  const { perSecond } = await load.stop();

  t.strictSame(exits, ['0', '0', '0'], 'every replica ended in order');
  const seen = outcomesOf(load.answers);
  const failed = [...seen].filter(([outcome]) => !outcome.startsWith('200 '));
  t.strictSame(failed, [], 'no request through the proxy failed');
  const keyed = await stage.startReplica('another');
  const { keys } = (await (await fetch(`${keyed.url}/.well-known/jwks.json`)).json()) as { keys: JWK[] };
  const known = {
    keys: keys.map((key) => ({
      keyId: String(key.kid),
      publicKey: createPublicKey({ key, format: 'jwk' }),
      source: 'the JWKS',
    })),
    apps: [
      {
        appleItemId: keyed.settings['WEBDIST_APPLE_ITEM_ID'] ?? '',
        bundleId: keyed.settings['WEBDIST_BUNDLE_ID'] ?? '',
      },
    ],
    nowSeconds: Math.floor(Date.now() / 1000),
  };
  const verdicts = load.answers.map(({ installToken = '' }) => verifyInstallToken(installToken, known));
  t.equal(verdicts.filter(({ accepted }) => accepted).length, load.answers.length, 'every token verifies');
  const nonces = new Set(verdicts.map(({ claims }) => claims?.['nonce']));
  t.equal(nonces.size, load.answers.length, 'no nonce came twice');
  const [slowestMs = 0] = load.answers.map(({ sentAt, endedAt }) => endedAt - sentAt).sort((a, b) => b - a);
  t.comment(
    `${load.answers.length} requests, ${Math.round(perSecond)} a second of the ${PER_SECOND} wanted, ${failed.length} failed;`,
    `${[...seen].map(([outcome, count]) => `${count} × ${outcome}`).join(', ')}; slowest ${Math.round(slowestMs)} ms`,
  );
});
