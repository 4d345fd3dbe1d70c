/**
 * The files of each format. In all formats, the settings are in `.env` and the private keys in the folder `secrets`, so
 * that another run finds both. The other files start the service with them.
 */

import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { version } from '../../version.ts';
import { invocation } from '../invocation.ts';
import { envLine } from './env-file.ts';
import type { FormatName } from './format-names.ts';
import { KEY_FILES, type KeySetting, type Plan } from './plan.ts';

type Format = {
  /** One sentence for the question which format to write. */
  readonly about: string;
  /** Settings that the platform sets itself. */
  readonly without: readonly string[];
  /** The files besides `.env`, by name; the first line of each is `MARK`. */
  files(plan: Plan): Readonly<Record<string, string>>;
  /** The lines of `.env`. */
  env(plan: Plan): string;
  /** The commands that start the service. */
  start(folder: string): readonly string[];
};

/** The first line of a generated file. Only files that start with it are replaced. */
export const MARK = '# Written by "webdist init", which replaces this file when it runs again.\n';

const lines = (settings: Readonly<Record<string, string>>, quotes = true) =>
  Object.entries(settings)
    .map(([name, value]) => envLine(name, value, { quotes }))
    .join('');

const keysOf = ({ pems }: Plan) => Object.keys(pems) as KeySetting[];

/** The names of the files in `secrets`. */
const filesOf = (plan: Plan) => keysOf(plan).map((setting) => KEY_FILES[setting]);

/** The locators of the keys in `secrets`, for a service that finds that folder at `root`. */
const locatorsAt = (plan: Plan, root: string): Record<string, string> =>
  Object.fromEntries(keysOf(plan).map((setting) => [setting, `file://${root}/${KEY_FILES[setting]}`]));

const indented = (indent: string, entries: readonly string[]) => entries.map((entry) => `${indent}${entry}\n`).join('');

const port = ({ settings }: Plan) => settings['PORT'] ?? '8080';

/** Returns a YAML string. A JSON string is one. */
const quoted = (value: string) => JSON.stringify(value);

export const formats: Readonly<Record<FormatName, Format>> = {
  env: {
    about: 'only .env, for a service that you start yourself',
    without: [],
    files: () => ({}),
    env: (plan) =>
      lines({
        WEBDIST_DATA_DIR: join(plan.folder, 'data'),
        ...plan.settings,
        ...locatorsAt(plan, pathToFileURL(join(plan.folder, 'secrets')).pathname),
      }),
    start: (folder) => [`set -a; . ${join(folder, '.env')}; set +a`, `${invocation} serve`],
  },
  compose: {
    about: 'a compose file for one container',
    without: ['WEBDIST_DATA_DIR', 'HOST'],
    files: (plan) => ({ 'compose.yaml': composeFile(plan) }),
    env: ({ settings }) => lines(settings),
    start: (folder) => [`docker compose -f ${join(folder, 'compose.yaml')} up -d`],
  },
  kubernetes: {
    about: 'a kustomization for one pod with a volume',
    without: ['WEBDIST_DATA_DIR', 'HOST'],
    files: (plan) => ({ 'kustomization.yaml': kustomization(plan), 'webdist.yaml': resources(plan) }),
    env: ({ settings }) => lines(settings, false),
    start: (folder) => [`kubectl apply -k ${folder}`],
  },
  systemd: {
    about: 'a unit for systemd on this machine',
    without: ['WEBDIST_DATA_DIR'],
    files: (plan) => ({ 'webdist.service': unit(plan) }),
    env: ({ settings }) => lines(settings),
    start: (folder) => [
      `cp ${join(folder, 'webdist.service')} /etc/systemd/system/`,
      'systemctl daemon-reload',
      'systemctl enable --now webdist',
    ],
  },
};

function composeFile(plan: Plan): string {
  const files = filesOf(plan);
  const keys = Object.entries(locatorsAt(plan, '/run/secrets')).map(([name, value]) => `${name}: ${value}`);
  return `${MARK}# The image is built with \`docker build -t webdist .\` in a checkout of webdist.
name: webdist
services:
  webdist:
    image: webdist
    # The owner of the files in secrets, who alone can read them.
    user: '${plan.owner.uid}:${plan.owner.gid}'
    env_file: [.env]
${keys.length > 0 ? `    environment:\n${indented('      ', keys)}    secrets: [${files.join(', ')}]\n` : ''}    # Put a TLS-terminating proxy in front of it, and set WEBDIST_TRUST_PROXY to its address.
    ports: ['127.0.0.1:8080:${port(plan)}']
    volumes: ['./data:/data']
    tmpfs: ['/tmp']
    read_only: true
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true']
    restart: unless-stopped
    # Longer than draining (3 s) plus finishing requests (6 s).
    stop_grace_period: 15s
${
  files.length > 0
    ? `secrets:\n${indented(
        '  ',
        files.map((file) => `${file}: { file: ./secrets/${file} }`),
      )}`
    : ''
}`;
}

function kustomization(plan: Plan): string {
  const literals = Object.entries(locatorsAt(plan, '/secrets')).map(([name, value]) => quoted(`${name}=${value}`));
  const files = filesOf(plan).map((file) => `secrets/${file}`);
  return `${MARK}apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: webdist
resources: [webdist.yaml]
images: [{ name: webdist, newTag: ${version} }]
secretGenerator:
  - name: webdist-settings
    envs: [.env]
    literals: [${literals.join(', ')}]
${files.length > 0 ? `  - name: webdist-keys\n    files: [${files.join(', ')}]\n` : ''}`;
}

function resources(plan: Plan): string {
  const hasKeys = filesOf(plan).length > 0;
  return `${MARK}# One pod, because the ledger is SQLite. For replicas, see deploy/base of webdist.
apiVersion: v1
kind: Namespace
metadata: { name: webdist }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: webdist }
spec:
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 1Gi } }
---
apiVersion: v1
kind: Service
metadata: { name: webdist }
spec:
  selector: { app.kubernetes.io/name: webdist }
  ports: [{ name: http, port: 80, targetPort: http }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: webdist }
spec:
  replicas: 1
  # The old pod must release the volume first.
  strategy: { type: Recreate }
  selector: { matchLabels: { app.kubernetes.io/name: webdist } }
  template:
    metadata: { labels: { app.kubernetes.io/name: webdist } }
    spec:
      # Kubernetes would add WEBDIST_SERVICE_HOST, WEBDIST_PORT and more, which look like settings.
      enableServiceLinks: false
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 20
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: webdist
          image: webdist
          envFrom: [{ secretRef: { name: webdist-settings } }]
          ports: [{ name: http, containerPort: ${port(plan)} }]
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          resources:
            requests: { cpu: 250m, memory: 256Mi }
            limits: { memory: 512Mi }
          livenessProbe: { httpGet: { path: /health/live, port: http }, periodSeconds: 10 }
          readinessProbe: { httpGet: { path: /health/ready, port: http }, periodSeconds: 2 }
          volumeMounts:
            - { name: data, mountPath: /data }
            - { name: tmp, mountPath: /tmp }
${hasKeys ? '            - { name: keys, mountPath: /secrets, readOnly: true }\n' : ''}      volumes:
        - { name: data, persistentVolumeClaim: { claimName: webdist } }
        - { name: tmp, emptyDir: {} }
${hasKeys ? '        - { name: keys, secret: { secretName: webdist-keys, defaultMode: 0440 } }\n' : ''}`;
}

/** The program of this installation, which the unit starts. */
const program = resolve(import.meta.dirname, `../../main${import.meta.filename.endsWith('.ts') ? '.ts' : '.js'}`);

function unit(plan: Plan): string {
  const { folder } = plan;
  const credentials = filesOf(plan).map((file) => `LoadCredential=${file}:${join(folder, 'secrets', file)}`);
  const keys = Object.entries(locatorsAt(plan, '%d')).map(([name, value]) => `Environment=${name}=${value}`);
  return `${MARK}[Unit]
Description=webdist, install verification tokens
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=${process.execPath} --disable-warning=ExperimentalWarning --disable-sigusr1 -- ${program} serve
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory=${dirname(dirname(program))}
EnvironmentFile=${join(folder, '.env')}
Environment=NODE_ENV=production
${indented('', [...credentials, ...keys])}StateDirectory=webdist
StateDirectoryMode=0700
Environment=WEBDIST_DATA_DIR=%S/webdist
Restart=on-failure
RestartSec=2
# Draining takes 3 s (WEBDIST_DRAIN_SECONDS), finishing requests up to 6 s.
TimeoutStopSec=15
DynamicUser=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectHome=${/^\/(home|root|run\/user)\//.test(program) ? 'read-only' : 'yes'}
ProtectSystem=strict
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictSUIDSGID=yes
CapabilityBoundingSet=
UMask=0077

[Install]
WantedBy=multi-user.target
`;
}
