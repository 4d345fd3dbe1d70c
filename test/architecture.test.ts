/** Holds the import table of the house: who may know whom. Reads import lines; runs nothing. */

import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';

/** What an area may import from other areas of `src`; `type x` allows types only. An area always knows itself. */
const table: Record<string, string[]> = {
  errors: [],
  version: [],
  batch: [],
  environment: [],
  'apple-id': [],
  locators: ['errors', 'type jws', 'secrets', 'signer'],
  log: [],
  'file-lock': [],
  // For the build info.
  metrics: ['version'],
  // Everything above the pure areas may be traced; they never know.
  tracing: ['version'],
  // Which ledgers there are, and what each can do.
  config: ['errors', 'locators', 'ledger'],
  cloud: ['errors'],
  vault: ['errors', 'cloud'],
  secrets: ['errors', 'vault', 'cloud'],
  jws: ['errors'],
  signer: ['jws', 'errors', 'vault', 'cloud', 'batch'],
  ledger: ['errors'],
  packages: ['errors', 'file-lock'],
  oauth: ['errors'],
  audit: ['errors', 'file-lock'],
  // The dtype of restores and updates is chosen where every other one is: in the ledger's rule.
  'marketplace-kit': ['errors', 'packages', 'ledger', 'type install-token'],
  'app-store-connect': ['jws', 'errors'],
  'install-token': ['jws', 'errors', 'type ledger'],
  registration: ['config', 'errors', 'locators', 'jws', 'secrets', 'signer', 'ledger', 'app-store-connect'],
  service: [
    'registration',
    'config',
    'errors',
    'jws',
    'secrets',
    'signer',
    'ledger',
    'packages',
    'oauth',
    'app-store-connect',
    'install-token',
    'metrics',
    'audit',
    'batch',
    'tracing',
  ],
  http: [
    'service',
    'tracing',
    'metrics',
    'errors',
    'version',
    'type config',
    'install-token',
    'browser',
    'marketplace-kit',
    'oauth',
  ],
  browser: [],
  sandbox: ['jws', 'install-token', 'errors'],
  // Opens what a service opens, each for its own check, and the service's own parts for what it remembers.
  doctor: [
    'config',
    'errors',
    'locators',
    'jws',
    'log',
    'secrets',
    'signer',
    'ledger',
    'packages',
    'app-store-connect',
    'install-token',
    'service',
    'registration',
  ],
  // signer: keygen makes keys where they will live.
  cli: [
    'config',
    'service',
    'registration',
    'http',
    'sandbox',
    'install-token',
    'errors',
    'locators',
    'log',
    'jws',
    'ledger',
    'app-store-connect',
    'signer',
    'doctor',
    'audit',
    'version',
    'packages',
    'metrics',
    'tracing',
  ],
  main: ['cli', 'config'],
};

const importLine =
  /^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]\s*\)/gm;

const areaOf = (path: string): string => {
  const name = path.split('/')[1] ?? '';
  return name.replace(/\.ts$/, '');
};

const files = globSync('src/**/*.ts').sort();

t.ok(files.length > 40, 'there are source files to look at');

for (const file of files) {
  const area = areaOf(file);
  const text = readFileSync(file, 'utf8');
  for (const match of text.matchAll(importLine)) {
    const target = areaOf(normalize(join(dirname(file), match[2] ?? match[3] ?? '')));
    const allowed = table[area] ?? [];
    const isTypeOnly = match[1] !== undefined;
    const fine =
      target === area ||
      target === 'environment' ||
      target === 'apple-id' ||
      allowed.includes(target) ||
      (isTypeOnly && allowed.includes(`type ${target}`));
    if (!fine) t.fail(`${file} may not import ${isTypeOnly ? 'types of ' : ''}${target}`);
  }
  if (area !== 'config' && /\bprocess\.env\b/.test(text.replace(/^\s*(\/?\*|\/\/).*$/gm, '')))
    t.fail(`${file} reads process.env; only config may`);
  if (!Object.hasOwn(table, area)) t.fail(`${file}: the area ${area} is not in the table`);
}

const sandboxUsers = files.filter(
  (file) => !file.startsWith('src/sandbox/') && /['"][^'"]*\/sandbox\/[^'"]*['"]/.test(readFileSync(file, 'utf8')),
);
t.strictSame(
  sandboxUsers,
  ['src/cli/program.ts', 'src/cli/sandbox/device.ts', 'src/cli/sandbox/run.ts', 'src/cli/serve/run.ts'],
  'only the commands that start the sandbox know it',
);
