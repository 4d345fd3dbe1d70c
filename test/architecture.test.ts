/** The structure of `src`: which folder may import which, which packages each may use, no cycles, no file too long to read. */

import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { cyclesAmong, importsOf } from './harness/imports.ts';

/** What any folder may import; these files import nothing themselves. */
const everywhere = [
  'address',
  'errors',
  'environment',
  'apple-id',
  'version',
  'batch',
  'connection-problem',
  'file-problem',
  'host',
  'node-http',
  'outbound',
  'stored-format',
  'suspensions',
  'visible',
];

/** What a folder, or a file directly in `src`, may import besides; `type x` allows types only. */
const rooms: Record<string, readonly string[]> = {
  address: [],
  errors: [],
  version: [],
  batch: [],
  breaker: [],
  environment: [],
  'apple-id': [],
  'connection-problem': [],
  'file-problem': [],
  host: [],
  'node-http': [],
  outbound: [],
  'stored-format': [],
  suspensions: [],
  visible: [],
  log: [],
  'log-output': [],
  'file-lock': [],
  'replace-file': [],
  metrics: [],
  tracing: [],
  jws: [],
  cloud: [],
  vault: ['cloud'],
  secrets: ['vault', 'cloud'],
  signer: ['jws', 'vault', 'cloud', 'breaker'],
  // Each scheme with the function that opens it.
  locators: ['type jws', 'secrets', 'signer', 'cloud'],
  // The kinds of ledgers and audit sinks with their properties; the bounds of a token's lifetime.
  config: ['locators', 'ledger', 'install-token', 'audit'],
  ledger: ['file-lock'],
  redis: [],
  packages: ['file-lock'],
  oauth: [],
  audit: ['file-lock'],
  browser: [],
  // The dtype of restores and updates is chosen in the ledger's rule, like every other dtype.
  'marketplace-kit': ['packages', 'ledger', 'type install-token'],
  'app-store-connect': ['jws'],
  'install-token': ['jws', 'type ledger'],
  // The orders that commands give to running services.
  orders: ['type config', 'ledger', 'file-lock', 'replace-file'],
  registration: [
    'file-lock',
    'type config',
    'locators',
    'jws',
    'type secrets',
    'signer',
    'ledger',
    'app-store-connect',
    'replace-file',
  ],
  service: [
    'type config',
    'orders',
    'type jws',
    'registration',
    'ledger',
    'packages',
    'oauth',
    'type app-store-connect',
    'install-token',
    'metrics',
    'audit',
    'tracing',
    'redis',
    'breaker',
  ],
  // The stores that it backs up; the secret belongs to the service.
  backup: ['ledger', 'orders', 'registration', 'service'],
  http: [
    'service',
    'tracing',
    'type metrics',
    'type config',
    'install-token',
    'browser',
    'marketplace-kit',
    'oauth',
    'type packages',
  ],
  sandbox: ['jws', 'install-token'],
  // Opens the same parts as a service, each for its own check.
  doctor: [
    'config',
    'locators',
    'jws',
    'log',
    'signer',
    'ledger',
    'packages',
    'app-store-connect',
    'install-token',
    'registration',
    'orders',
    'redis',
    'service',
    'type metrics',
  ],
  cli: [
    'config',
    'backup',
    // Recognises what a backend's SDK does in the background.
    'cloud',
    'orders',
    'service',
    'registration',
    'http',
    'sandbox',
    'install-token',
    'locators',
    'log',
    'log-output',
    'type metrics',
    'jws',
    'ledger',
    'app-store-connect',
    'signer',
    'doctor',
    'audit',
    'packages',
    'tracing',
  ],
  main: ['cli'],
};

/** Which folders may use a package, or with `type x` its types; `true` is everywhere. */
const packages: Record<string, readonly string[] | true> = {
  zod: true,
  pino: true,
  fastify: ['http', 'sandbox', 'cli'],
  'fastify-type-provider-zod': ['http', 'sandbox', 'cli'],
  '@fastify/formbody': ['http'],
  '@fastify/rate-limit': ['http'],
  '@fastify/static': ['http'],
  '@fastify/swagger': ['http'],
  cookie: ['http'],
  commander: ['cli'],
  'pino-pretty': ['cli'],
  yaml: ['config'],
  pg: ['ledger'],
  ioredis: ['redis'],
  'prom-client': ['metrics'],
  cockatiel: ['breaker', 'registration', 'service', 'signer'],
  'p-limit': ['signer'],
  'ecdsa-sig-formatter': ['signer'],
  pkcs11js: ['signer'],
  jose: ['http', 'oauth', 'sandbox', 'service'],
  ky: ['app-store-connect'],
  fflate: ['packages', 'sandbox'],
  '@aws-sdk/client-kms': ['signer'],
  '@aws-sdk/client-secrets-manager': ['secrets'],
  '@aws-sdk/credential-provider-node': ['vault'],
  '@smithy/signature-v4': ['vault'],
  '@azure/identity': ['cloud'],
  '@azure/keyvault-keys': ['signer'],
  '@azure/keyvault-secrets': ['secrets'],
  '@google-cloud/kms': ['signer'],
  '@google-cloud/secret-manager': ['secrets'],
  '@opentelemetry/api': ['tracing'],
  '@opentelemetry/core': ['tracing'],
  '@opentelemetry/exporter-trace-otlp-proto': ['tracing'],
  '@opentelemetry/resources': ['tracing'],
  '@opentelemetry/sdk-trace': ['tracing'],
  uqr: ['browser'],
  terser: ['browser'],
  react: ['browser'],
  svelte: ['browser'],
  vue: ['browser'],
};

/** Tables of data and of texts. */
const longFiles = [
  'src/browser/install-button-texts.ts',
  'src/config/settings.ts',
  'src/http/problem-guide.ts',
  'src/metrics.ts',
];
const MOST_LINES = 250;

/** The one place that reads the environment, and the log level that is needed before settings are read. */
const environmentReaders = ['src/config/config.ts', 'src/config/log-level.ts', 'src/config/proxy.ts'];

/** They start it; for all others it is a URL. */
const sandboxUsers = ['src/cli/sandbox/device.ts', 'src/cli/sandbox/run.ts', 'src/cli/serve/run.ts'];

const files = globSync('src/**/*.ts').sort();
const roomOf = (file: string) => (file.split('/')[1] ?? '').replace(/\.ts$/, '');
const withoutComments = (text: string) => text.replace(/^\s*(\/?\*|\/\/).*$/gm, '');

t.ok(files.length > 40, `${files.length} source files`);
for (const file of files) {
  const room = roomOf(file);
  const allowed = rooms[room];
  if (!allowed) t.fail(`${file}: "${room}" is not in the table of rooms`);
  for (const { target, isRelative, isType } of importsOf(file)) {
    if (target.startsWith('node:')) continue;
    const [name, known] = isRelative
      ? [roomOf(target), [room, ...everywhere, ...(allowed ?? [])]]
      : [room, packages[target]];
    if (known === undefined) t.fail(`${file}: the package ${target} is not in the table of packages`);
    else if (known !== true && !known.includes(name) && !(isType && known.includes(`type ${name}`)))
      t.fail(`${file} may not import ${isType ? 'types of ' : ''}${target}`);
  }
}
t.pass('imports follow the tables');

for (const cycle of [...cyclesAmong(files), ...cyclesAmong(globSync('test/**/*.ts').sort())])
  t.fail(`import cycle: ${[...cycle, cycle[0]].join(' → ')}`);
t.pass('no import cycle, types included');

const lineCount = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n').length;
t.strictSame(
  files.filter((file) => lineCount(file) > MOST_LINES),
  longFiles,
  `only tables are longer than ${MOST_LINES} lines`,
);

t.strictSame(
  files.filter((file) => /\bprocess\.env\b/.test(withoutComments(readFileSync(file, 'utf8')))),
  environmentReaders,
  'only config reads process.env',
);

t.strictSame(
  files.filter(
    (file) => roomOf(file) !== 'sandbox' && importsOf(file).some(({ target }) => target.startsWith('src/sandbox/')),
  ),
  sandboxUsers,
  'only the commands that start the sandbox import it',
);

t.strictSame(
  files.filter((file) => importsOf(file).some(({ target, isType }) => target === 'node:http' && !isType)),
  ['src/doctor/web.ts', 'src/packages/download.ts', 'src/sandbox/server.ts', 'src/vault/http.ts'],
  'what is loaded at every start uses src/node-http.ts',
);

t.strictSame(globSync('{src,test}/**/index.ts'), [], 'no file only exports what others export');
