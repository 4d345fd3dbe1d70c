/**
 * `deploy/base` against Kubernetes' own schemas (PyPI's kubernetes-validate carries them), for consistency, and against
 * the service: the paths of the probes, the settings, and how the image runs.
 */

import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readConfig } from '../../src/config/config.ts';
import { readSettings } from '../../src/config/read.ts';
import { temporaryFolder } from '../harness/folder.ts';
import {
  BASE,
  isBuiltIn,
  named,
  noKustomize,
  noSchemas,
  problemsOf,
  renderedBase,
  resourcesIn,
  VERSIONS,
} from '../harness/kubernetes.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

/** The members that this test examines. */
type Container = {
  name: string;
  image: string;
  ports: { name: string; containerPort: number }[];
  envFrom: { configMapRef: { name: string } }[];
  env?: unknown;
  securityContext: object;
  resources: { requests: { cpu: string; memory: string }; limits: { cpu?: string; memory: string } };
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
} & Record<`${'startup' | 'liveness' | 'readiness'}Probe`, { httpGet: { path: string; port: string } }>;

t.test(
  'kustomize: every resource in the namespace, with the label that selects it',
  { skip: noKustomize },
  async (t) => {
    const all = resourcesIn(renderedBase());
    const label = { 'app.kubernetes.io/name': 'webdist' };
    for (const { kind, metadata } of all) {
      t.equal(metadata.namespace, 'webdist', kind);
      t.match(metadata.labels, label, kind);
    }
    t.strictSame(named('Deployment', all).spec.template.metadata.labels, label);
    for (const kind of ['Deployment', 'PodDisruptionBudget'])
      t.strictSame(named(kind, all).spec.selector.matchLabels, label, kind);
    t.strictSame(named('Service', all).spec.selector, label);
    t.strictSame(named('NetworkPolicy', all).spec.podSelector.matchLabels, label);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    t.equal(
      named('Deployment', all).spec.template.spec.containers[0].image,
      `webdist:${version}`,
      'the tag of this version',
    );
  },
);

t.test('strictly valid in each version of Kubernetes', { skip: noKustomize || noSchemas }, async (t) => {
  const core = resourcesIn(renderedBase()).filter(isBuiltIn);
  t.equal(core.length, 7);
  for (const version of VERSIONS) t.equal(problemsOf(t, version, core), '', version);
  const misspelt = core.map((one) => JSON.parse(JSON.stringify(one).replace('containerPort', 'containersPort')));
  t.not(problemsOf(t, '1.37', misspelt), '', 'a misspelt member is refused');
});

const all = globSync(`${BASE}/*.yaml`)
  .filter((path) => !path.endsWith('kustomization.yaml'))
  .flatMap((path) => resourcesIn(readFileSync(path, 'utf8')));
const deployment = named('Deployment', all).spec;
const pod = deployment.template.spec;
const container = pod.containers[0] as Container;
const annotations = deployment.template.metadata.annotations as Record<string, string>;
const dockerfile = readFileSync('Dockerfile', 'utf8');
const env = (name: string) => new RegExp(`\\b${name}=(\\S+)`).exec(dockerfile)?.[1];

t.test('the pods run as the image does: not as root, without privileges, with only two writable folders', async (t) => {
  const [, user, group] = /^USER (\d+):(\d+)$/m.exec(dockerfile) ?? [];
  t.strictSame(pod.securityContext, {
    runAsNonRoot: true,
    runAsUser: Number(user),
    runAsGroup: Number(group),
    fsGroup: Number(group),
    seccompProfile: { type: 'RuntimeDefault' },
  });
  t.strictSame(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  const writable = container.volumeMounts.filter(({ readOnly }) => !readOnly).map(({ mountPath }) => mountPath);
  t.strictSame(writable, [env('WEBDIST_DATA_DIR'), '/tmp']);
  t.equal((named('ServiceAccount', all) as unknown as Record<string, unknown>)['automountServiceAccountToken'], false);
});

t.test('the variables that Kubernetes adds for the Services beside it are not settings', async (t) => {
  t.equal(pod.enableServiceLinks, false, 'Kubernetes adds none in this namespace');
  const settings = { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: temporaryFolder(t) };
  // The variables of three Services, which a kubelet would add without that setting.
  for (const name of ['WEBDIST', 'WEBDIST_CANARY', 'WEBDIST_LEDGER']) {
    const links = {
      [`${name}_SERVICE_HOST`]: '10.0.0.1',
      [`${name}_SERVICE_PORT`]: '80',
      [`${name}_SERVICE_PORT_HTTP`]: '80',
      [`${name}_PORT`]: 'tcp://10.0.0.1:80',
      [`${name}_PORT_80_TCP`]: 'tcp://10.0.0.1:80',
      [`${name}_PORT_80_TCP_PROTO`]: 'tcp',
      [`${name}_PORT_80_TCP_PORT`]: '80',
      [`${name}_PORT_80_TCP_ADDR`]: '10.0.0.1',
    };
    t.strictSame(readSettings({ ...settings, ...links }).problems, [], name);
  }
});

t.test('the probes and Prometheus use paths that the service has', async (t) => {
  const operatorPort = named('ConfigMap', all).data?.['WEBDIST_OPERATOR_PORT'] ?? '';
  const { operators } = await startReady(t, await startSandbox(t), { WEBDIST_OPERATOR_PORT: operatorPort });
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
  for (const { httpGet } of probes) {
    t.equal((await operators?.inject({ url: httpGet.path }))?.statusCode, 200, httpGet.path);
    t.equal(httpGet.port, container.ports[1]?.name);
  }
  t.equal((await operators?.inject({ url: annotations['prometheus.io/path'] ?? '' }))?.statusCode, 200);
  t.equal(String(container.ports[0]?.containerPort), env('PORT'));
  t.equal(annotations['prometheus.io/port'], operatorPort);
  t.equal(String(container.ports[1]?.containerPort), operatorPort);
  t.equal(named('Service', all).spec.ports[0].targetPort, container.ports[0]?.name);
  t.strictSame(named('NetworkPolicy', all).spec.ingress[0].ports, [{ port: container.ports[0]?.name }]);
  t.strictSame(named('NetworkPolicy', all).spec.ingress[1].ports, [{ port: container.ports[1]?.name }]);
});

t.test('the settings exist, and every secret that they name is mounted', async (t) => {
  const folder = temporaryFolder(t);
  const { data = {}, metadata } = named('ConfigMap', all);
  t.strictSame(container.envFrom, [{ configMapRef: { name: metadata.name } }]);
  t.equal(container.env, undefined, 'nothing beside it');
  const mount = container.volumeMounts.find(({ name }) => name === 'secrets')?.mountPath ?? '';
  const external = named('ExternalSecret', all);
  const entries = external.spec.data as { secretKey: string; remoteRef: { key: string } }[];
  mkdirSync(join(folder, mount));
  const contents: Record<string, string> = {
    'ledger-url': 'postgres://webdist@postgres/webdist',
    'ledger-secret': 'x'.repeat(32),
    'redis-url': 'redis://redis:6379',
  };
  for (const { secretKey } of entries) writeFileSync(join(folder, mount, secretKey), contents[secretKey] ?? '');
  const here = Object.entries(data).map(([name, value]) => [name, value.replace(`${mount}/`, `${folder}${mount}/`)]);
  const config = readConfig({ NODE_ENV: 'production', ...Object.fromEntries(here) });
  t.equal(config.mode, 'production');
  const files = Object.values(data).flatMap((value) => /\/secrets\/(.+)$/.exec(value)?.[1] ?? []);
  t.strictSame(files.sort(), entries.map(({ secretKey }) => secretKey).sort(), 'each file that is named is brought');

  // Kubernetes has no schema for it; this is its shape according to external-secrets.io.
  t.equal(external.apiVersion, 'external-secrets.io/v1');
  t.match(external.spec, { secretStoreRef: { kind: 'ClusterSecretStore', name: String }, refreshInterval: /^\d+m$/ });
  for (const { remoteRef } of entries) t.match(remoteRef.key, /^webdist\//);
  const volume = pod.volumes.find(({ name }: { name: string }) => name === 'secrets');
  t.equal(volume.secret.secretName, external.spec.target.name);
  t.equal(volume.secret.defaultMode & 0o007, 0, 'not for everybody to read');
});

t.test('the files contain no secret', async (t) => {
  for (const path of globSync(`${BASE}/*`))
    t.notMatch(readFileSync(path, 'utf8'), /PRIVATE KEY|:\/\/[^/\s]*:[^/\s]*@|^kind: Secret$|stringData/m, path);
});

t.test('replicas, disruptions and resources fit together', async (t) => {
  const scaler = named('HorizontalPodAutoscaler', all).spec;
  const { name } = named('Deployment', all).metadata;
  t.strictSame(scaler.scaleTargetRef, { apiVersion: 'apps/v1', kind: 'Deployment', name });
  t.equal(deployment.replicas, undefined, 'the autoscaler alone says how many');
  const { maxUnavailable } = named('PodDisruptionBudget', all).spec;
  t.ok(maxUnavailable >= 1 && scaler.minReplicas - maxUnavailable >= 2, 'a drained node leaves two');
  t.ok(scaler.maxReplicas > scaler.minReplicas);
  t.strictSame(deployment.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
  const { requests, limits } = container.resources;
  t.ok(Number.parseInt(requests.memory, 10) < Number.parseInt(limits.memory, 10));
  t.equal(
    scaler.metrics[0].resource.target.averageValue,
    requests.cpu,
    'a replica has its share before another is added',
  );
  // Three seconds to drain, six to finish requests (docs/operations.md).
  t.ok(pod.terminationGracePeriodSeconds > 9);
});
