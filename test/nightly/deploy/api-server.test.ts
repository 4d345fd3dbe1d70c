/**
 * A real API server accepts the kustomize base and the Helm chart: with a server-side dry run, and then as a user installs
 * them. Nothing runs, because there is no scheduler. Needs `etcd` (Debian: etcd-server), `helm`, `kubectl` and the
 * `kube-apiserver` that build-api-server.sh beside this file builds, on PATH.
 */

import { spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { BASE, named, renderedBase, renderedChart, resourcesIn } from '../../harness/kubernetes.ts';
import { freePort } from '../../harness/port.ts';
import { until } from '../../harness/until.ts';

const missing = ['etcd', 'helm', 'kube-apiserver', 'kubectl'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
);
const skip = missing.length > 0 && `not here: ${missing.join(', ')}`;

/** The custom resources, with the members that their documentation names and the base and the chart use. */
const CUSTOM = [
  {
    group: 'external-secrets.io',
    names: { kind: 'ExternalSecret', plural: 'externalsecrets', singular: 'externalsecret' },
    spec: {
      refreshInterval: { type: 'string' },
      secretStoreRef: { type: 'object', properties: { kind: { type: 'string' }, name: { type: 'string' } } },
      target: { type: 'object', properties: { name: { type: 'string' } } },
      data: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            secretKey: { type: 'string' },
            remoteRef: { type: 'object', properties: { key: { type: 'string' } } },
          },
        },
      },
    },
  },
  {
    group: 'secrets-store.csi.x-k8s.io',
    names: { kind: 'SecretProviderClass', plural: 'secretproviderclasses', singular: 'secretproviderclass' },
    spec: {
      provider: { type: 'string' },
      parameters: { type: 'object', additionalProperties: { type: 'string' } },
    },
  },
];
const definitions = CUSTOM.map(({ group, names, spec }) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${names.plural}.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names,
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: spec } } } },
      },
    ],
  },
}));

t.test('a real API server', { skip, timeout: 300_000 }, async (t) => {
  const folder = temporaryFolder(t);
  const [client, peer, secure] = [await freePort(), await freePort(), await freePort()];
  const at = (name: string, text: string | Buffer) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const privatePem = at('sa.key', privateKey.export({ format: 'pem', type: 'sec1' }));
  const publicPem = at('sa.pub', publicKey.export({ format: 'pem', type: 'spki' }));
  const TOKEN = 'only-for-this-test';
  const etcd = `http://127.0.0.1:${client}`;
  const members = `http://127.0.0.1:${peer}`;
  const start = (program: string, options: Record<string, string>) => {
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => (errors = (errors + chunk).slice(-4000)));
    t.teardown(() => child.kill('SIGKILL'));
    return () => errors;
  };
  start('etcd', {
    'data-dir': join(folder, 'etcd'),
    'listen-client-urls': etcd,
    'advertise-client-urls': etcd,
    'listen-peer-urls': members,
    'initial-advertise-peer-urls': members,
    'initial-cluster': `default=${members}`,
  });
  const errors = start('kube-apiserver', {
    'etcd-servers': etcd,
    'bind-address': '127.0.0.1',
    'secure-port': String(secure),
    'cert-dir': folder,
    'service-cluster-ip-range': '10.96.0.0/24',
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': publicPem,
    'service-account-signing-key-file': privatePem,
    'authorization-mode': 'RBAC',
    'token-auth-file': at('tokens.csv', `${TOKEN},admin,1,"system:masters"\n`),
  });
  // The server made its own certificate, on loopback.
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: `https://127.0.0.1:${secure}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token: TOKEN } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
  };
  const env = { ...process.env, KUBECONFIG: at('kubeconfig', JSON.stringify(config)), HOME: folder };
  const run = (program: string, args: readonly string[], input = '') =>
    spawnSync(program, args, { env, input, cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  const kubectl = (...args: string[]) => run('kubectl', args);
  await until(
    () => kubectl('get', '--raw', '/readyz').status === 0,
    () => `the API server\n${errors()}`,
    120,
  );
  const { gitVersion } = JSON.parse(kubectl('get', '--raw', '/version').stdout);
  t.comment(`Kubernetes ${gitVersion}`);

  const apply = (text: string, ...options: string[]) =>
    run('kubectl', ['apply', '--validate=strict', '-f', '-', ...options], text);
  const namespaces = ['webdist', 'shop'].map((name) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  }));
  const stream = (items: readonly object[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  const first = apply(stream([...namespaces, ...definitions]));
  t.equal(first.status, 0, first.stderr);
  kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all');

  const csi = { source: 'csi', csi: { provider: 'vault', parameters: { roleName: 'webdist' } } };
  const rendered: Readonly<Record<string, string>> = {
    'the base': renderedBase(),
    'the chart': renderedChart(),
    'the chart, with the CSI driver and an ingress': renderedChart({
      secrets: csi,
      ingress: { enabled: true, className: 'nginx', tlsSecret: 'shop-tls' },
    }),
  };
  for (const [name, text] of Object.entries(rendered)) {
    // Helm creates the pod of its test later, when the ServiceAccount is there.
    const objects = resourcesIn(text).filter(({ kind }) => kind !== 'Pod');
    const { status, stdout, stderr } = apply(stream(objects), '--dry-run=server');
    t.strictSame([status, stderr], [0, ''], name);
    t.equal(stdout.match(/ created \(server dry run\)$/gm)?.length, objects.length, `${name}: every object`);
  }
  const misspelt = apply(renderedBase().replace('containerPort:', 'containersPort:'), '--dry-run=server');
  t.match(misspelt.stderr, /unknown field .*containersPort/, 'a misspelt member is refused');

  for (const [name, text] of Object.entries(rendered)) {
    const { metadata, spec } = named('Deployment', resourcesIn(text)).spec.template;
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'one', namespace: 'shop' }, spec };
    spec.serviceAccountName = 'default';
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'shop' } };
    apply(stream([account]));
    const { status, stderr } = apply(stream([pod]), '--dry-run=server');
    t.equal(status, 0, `${name}: a pod meets the restricted Pod Security Standard\n${stderr}`);
    spec.containers[0].securityContext.allowPrivilegeEscalation = true;
    t.match(
      apply(stream([pod]), '--dry-run=server').stderr,
      'violates PodSecurity',
      'and a pod with privileges does not',
    );
  }

  t.equal(kubectl('apply', '-k', resolve(BASE)).status, 0, 'the base, applied');
  // A generation counts the changes of an object's spec.
  t.equal(kubectl('apply', '-k', resolve(BASE)).status, 0, 'a second time');
  const kinds = 'deployment,poddisruptionbudget,networkpolicy';
  const generations = ['get', kinds, '-n', 'webdist', '-o', 'jsonpath={.items[*].metadata.generation}'];
  t.equal(kubectl(...generations).stdout, '1 1 1', 'nothing changes');

  // As the documentation says, in a namespace of its own.
  symlinkSync(resolve('deploy'), join(folder, 'deploy'));
  const page = readFileSync('docs/kubernetes.md', 'utf8');
  at('shop.yaml', /^# shop\.yaml\n(.*?)^```$/ms.exec(page)?.[1] ?? '');
  const [, install = ''] = /^(helm install webdist .*)$/m.exec(page) ?? [];
  const words = install.replace('--namespace webdist', '--namespace from-docs').split(' ').slice(1);
  const installed = run('helm', words);
  t.equal(installed.status, 0, `${install}\n${installed.stderr}`);
  const deployment = ['-n', 'from-docs', 'get', 'deployment', 'webdist', '-o', 'jsonpath={..image} {..replicas}'];
  t.match(kubectl(...deployment).stdout, /^registry\.example\.com\/webdist:/);
  const upgrade = words
    .map((word) => word.replace('install', 'upgrade'))
    .filter((word) => word !== '--create-namespace');
  t.equal(run('helm', [...upgrade, '--set', 'disruption.maxUnavailable=2']).status, 0, 'helm upgrade');
  const budget = ['-n', 'from-docs', 'get', 'pdb', 'webdist', '-o', 'jsonpath={.spec.maxUnavailable}'];
  t.equal(kubectl(...budget).stdout, '2');
  t.equal(run('helm', ['-n', 'from-docs', 'uninstall', 'webdist']).status, 0, 'helm uninstall');
  t.equal(kubectl('-n', 'from-docs', 'get', 'deployment,service,networkpolicy,hpa,pdb', '-o', 'name').stdout, '');
});
