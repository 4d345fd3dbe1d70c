/**
 * The Helm chart against `deploy/base`: with its own values it renders the same objects, except for the differences named
 * here. With other values, Kubernetes' schemas accept what it renders. Needs helm.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import {
  CHART,
  isBuiltIn,
  named,
  noHelm,
  noKustomize,
  noSchemas,
  problemsOf,
  type Resource,
  renderedBase,
  renderedChart,
  resourcesIn,
  VERSIONS,
} from '../harness/kubernetes.ts';

/** Members that only one of the two has, with the reason. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  'app.kubernetes.io/instance': 'Helm: several releases in one namespace',
  'app.kubernetes.io/managed-by': 'Helm: its own label',
  'app.kubernetes.io/version': 'Helm: its own label',
  'helm.sh/chart': 'Helm: its own label',
  'checksum/settings': 'Helm: changed settings replace the pods; an overlay does this with configMapGenerator',
  'checkov.io/skip1': 'base: for the scanners, which read the base',
  'checkov.io/skip2': 'base: for the scanners',
  'checkov.io/skip3': 'base: for the scanners',
  'checkov.io/skip4': 'base: for the scanners',
  'kube-score/ignore': 'base: for the scanners',
};

/** A copy without the differences, and without objects that have become empty. */
function comparable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !Object.hasOwn(DIFFERENCES, name));
  const kept = entries.map(([name, item]) => [name, comparable(item)] as const);
  return Object.fromEntries(
    kept.filter(([name, item]) => name !== 'annotations' || Object.keys(item as object).length > 0),
  );
}
const byKind = (all: readonly Resource[]) =>
  Object.fromEntries(all.map((one) => [`${one.kind} ${one.metadata.name}`, comparable(one)]));
const isTest = ({ metadata }: Resource) => metadata.annotations?.['helm.sh/hook'] === 'test';

t.test(
  'with its own values, the chart renders the objects of deploy/base',
  { skip: noHelm || noKustomize },
  async (t) => {
    const chart = resourcesIn(renderedChart());
    const base = resourcesIn(renderedBase());
    t.strictSame(byKind(chart.filter((one) => !isTest(one))), byKind(base));
    const text = JSON.stringify([chart, base]);
    for (const [name, reason] of Object.entries(DIFFERENCES))
      t.match(text, `"${name}"`, `still a difference: ${reason}`);
  },
);

/** Values over those of the chart, and what the result must have. */
const variants: Readonly<Record<string, { values: object; kinds?: readonly string[]; deployment?: object }>> = {
  'its own values': { values: {}, kinds: ['ExternalSecret', 'HorizontalPodAutoscaler', 'NetworkPolicy'] },
  'secrets from the CSI driver': {
    values: { secrets: { source: 'csi', csi: { provider: 'vault', parameters: { roleName: 'webdist' } } } },
    kinds: ['SecretProviderClass'],
    deployment: { volumes: [{}, {}, { csi: { driver: 'secrets-store.csi.k8s.io', readOnly: true } }] },
  },
  'a Secret that exists': {
    values: { secrets: { source: 'existing', name: 'webdist-keys' } },
    deployment: { volumes: [{}, {}, { secret: { secretName: 'webdist-keys' } }] },
  },
  'an image with a digest from a private registry': {
    values: {
      image: {
        repository: 'registry.example.com/webdist',
        digest: `sha256:${'a'.repeat(64)}`,
        pullSecrets: [{ name: 'registry' }],
      },
    },
    deployment: {
      containers: [{ image: `registry.example.com/webdist@sha256:${'a'.repeat(64)}` }],
      imagePullSecrets: [{ name: 'registry' }],
    },
  },
  'no autoscaler, no network policy, one more rule, an ingress': {
    values: {
      autoscaling: { enabled: false },
      networkPolicy: { enabled: false },
      ingress: { enabled: true, tlsSecret: 'shop-tls', annotations: { 'example.com/a': 'b' } },
      scheduling: { nodeSelector: { disk: 'ssd' }, priorityClassName: 'high' },
      serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/webdist' } },
    },
    kinds: ['Ingress'],
    deployment: { nodeSelector: { disk: 'ssd' }, priorityClassName: 'high' },
  },
  'other ports, a longer drain': {
    values: { settings: { PORT: '9000', WEBDIST_OPERATOR_PORT: '9001', WEBDIST_DRAIN_SECONDS: '30' } },
    deployment: {
      containers: [{ ports: [{ containerPort: 9000 }, { containerPort: 9001 }] }],
      terminationGracePeriodSeconds: 47,
    },
  },
  'no Redis, and a collector of traces': {
    values: {
      settings: { WEBDIST_REDIS_URL_FILE: null, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
      networkPolicy: { egress: { redis: null, collector: { to: [{ podSelector: {} }], ports: [{ port: 4318 }] } } },
    },
  },
};

/** The examples of values in the documentation: blocks of YAML other than objects of Kubernetes. */
const examples = [...readFileSync('docs/kubernetes.md', 'utf8').matchAll(/^```yaml\n(.*?)^```$/gms)]
  .map(([, text = '']) => parse(text) as object)
  .filter((values) => !('kind' in values));

const rendered: Record<string, readonly Resource[]> = {};

for (const [name, { values, kinds = [], deployment = {} }] of Object.entries(variants))
  t.test(`rendered with ${name}`, { skip: noHelm }, async (t) => {
    const all = resourcesIn(renderedChart(values));
    rendered[name] = all;
    for (const kind of kinds) t.ok(named(kind, all), kind);
    t.match(named('Deployment', all).spec.template.spec, deployment);
    const { ports } = named('Deployment', all).spec.template.spec.containers[0];
    t.equal(named('Service', all).spec.ports[0].targetPort, ports[0].name);
  });

t.test('the examples in the documentation', { skip: noHelm }, async (t) => {
  t.equal(examples.length, 3);
  for (const [index, values] of examples.entries()) rendered[`example ${index}`] = resourcesIn(renderedChart(values));
});

t.test('a rule of the network policy is removed and added by its name', { skip: noHelm }, async (t) => {
  const all = rendered['no Redis, and a collector of traces'] ?? [];
  const ports = named('NetworkPolicy', all).spec.egress.flatMap((rule: { ports: { port: number }[] }) => rule.ports);
  t.strictSame(
    ports.map(({ port }: { port: number }) => port),
    [4318, 53, 53, 443, 5432],
  );
  t.notOk(Object.hasOwn(named('ConfigMap', all).data ?? {}, 'WEBDIST_REDIS_URL_FILE'));
});

for (const version of VERSIONS)
  t.test(
    `Kubernetes ${version}: everything that the chart renders is strictly valid`,
    { skip: noHelm || noSchemas },
    async (t) => {
      const all = Object.values(rendered).flat();
      t.equal(problemsOf(t, version, all.filter(isBuiltIn)), '');
    },
  );

t.test('helm lint, strictly; values that the schema refuses name the setting', { skip: noHelm }, async (t) => {
  execFileSync('helm', ['lint', '--strict', '--quiet', CHART]);
  for (const [setting, values] of [
    ['WEBDIST_COLOUR', { settings: { WEBDIST_COLOUR: 'red' } }],
    ['WEBDIST_RATE_LIMIT', { settings: { WEBDIST_RATE_LIMIT: 600 } }],
    ['WEBDIST_LEDGER_SECRET', { settings: { WEBDIST_LEDGER_SECRET: 'x' } }],
    ['replicas', { replicas: 3 }],
  ] as const) {
    const { status, stderr } = spawnSync('helm', ['template', 'webdist', CHART, '--values', '-'], {
      encoding: 'utf8',
      input: JSON.stringify(values),
    });
    t.equal(status, 1, setting);
    t.match(stderr, setting);
  }
});

t.test('the chart has the version of webdist', async (t) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const chart = parse(readFileSync(`${CHART}/Chart.yaml`, 'utf8')) as { version: string; appVersion: string };
  t.strictSame([chart.version, chart.appVersion], [version, version]);
});
