/**
 * The packages installed with webdist: permissive licences, a hash for each, and only install scripts that are allowed
 * or refused by name.
 */

import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, globSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { temporaryFolder } from '../harness/folder.ts';

type Component = {
  readonly group?: string;
  readonly name: string;
  readonly licenses?: readonly { readonly license?: { readonly id?: string }; readonly expression?: string }[];
  readonly hashes?: readonly object[];
};
type Locked = {
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly link?: boolean;
};

const json = <T>(path: string) => JSON.parse(readFileSync(path, 'utf8')) as T;
/** They require only attribution. */
const LICENCES = json<string[]>('deploy/licences.json');
const { packages } = json<{ packages: Record<string, Locked> }>('package-lock.json');
/** All but this repository's own packages. */
const locked = Object.entries(packages).filter(([path, { link }]) => path.includes('node_modules/') && !link);

t.test('the bill of materials: every licence known and permissive, every package with its hash', async (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['package.json', 'package-lock.json', 'docker'])
    cpSync(name, join(folder, name), { recursive: true });
  const run = (...command: string[]) => execFileSync('sh', command, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  run('docker/production-package.sh', '--with-sdks');
  const bill = run('docker/bill-of-materials.sh');
  const { components } = JSON.parse(bill) as { components: readonly Component[] };
  const names = components.map(({ group, name }) => (group ? `${group}/${name}` : name));
  const { dependencies, peerDependencies } = json<Record<string, object>>('package.json');
  t.strictSame(
    Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => !names.includes(name)),
    [],
    'not in the bill',
  );
  t.ok(components.length > 20, `${components.length} packages`);
  const others = components.filter(({ licenses = [] }) => {
    const ids = licenses.map(({ license, expression }) => license?.id ?? expression ?? 'none');
    return ids.length === 0 || ids.some((id) => !LICENCES.includes(id));
  });
  t.strictSame(
    others.map(({ name, licenses }) => ({ name, licenses })),
    [],
    'other licences',
  );
  t.strictSame(
    components.filter(({ hashes }) => !hashes?.length).map(({ name }) => name),
    [],
    'without a hash',
  );

  writeFileSync(join(folder, 'bill.json'), bill);
  const command = /^node -p .+$/m.exec(readFileSync('docs/supply-chain.md', 'utf8'))?.[0] ?? '';
  const listed = run('-c', command.replace(/\S+$/, 'bill.json')).trim().split('\n');
  t.equal(listed.length, components.length, 'the list of licences in docs/supply-chain.md');
  t.match(listed[0], /^0BSD tslib@/);
});

t.test('the lock file: everything has a hash and comes from the registry', async (t) => {
  const registry = /^https:\/\/registry\.npmjs\.org\//;
  const strange = locked.filter(([, { integrity, resolved }]) => !integrity || (resolved && !registry.test(resolved)));
  t.strictSame(
    strange.map(([path]) => path),
    [],
  );
});

t.test('every install script is allowed or refused by name', async (t) => {
  const { allowScripts } = json<{ allowScripts: Record<string, boolean> }>('package.json');
  const scripts = locked.filter(([, { hasInstallScript }]) => hasInstallScript);
  const names = scripts.map(([path]) => path.replace(/^.*node_modules\//, ''));
  t.strictSame(
    [...new Set(names)].filter((name) => !Object.hasOwn(allowScripts, name)),
    [],
  );
});

t.test('Dependabot watches npm, the actions, and every folder with a Dockerfile', async (t) => {
  type Update = { 'package-ecosystem': string; directory?: string; directories?: string[] };
  const { updates } = parse(readFileSync('.github/dependabot.yml', 'utf8')) as { updates: Update[] };
  const watched = (ecosystem: string) =>
    updates
      .filter((one) => one['package-ecosystem'] === ecosystem)
      .flatMap(({ directory, directories = [] }) => [...directories, ...(directory === undefined ? [] : [directory])]);
  t.strictSame(watched('npm'), ['/']);
  t.strictSame(watched('github-actions'), ['/']);
  const dockerfiles = globSync('{Dockerfile,docker/**/Dockerfile}').map((file) => join('/', dirname(file)));
  t.strictSame(watched('docker').toSorted(), dockerfiles.toSorted());
});

/** The first bytes of a file, one character for each. */
const startOf = (file: string) => {
  const start = Buffer.alloc(4);
  const descriptor = openSync(file, 'r');
  readSync(descriptor, start);
  closeSync(descriptor);
  return start.toString('latin1');
};

t.test('no executable is in the repository', async (t) => {
  const files = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(existsSync);
  const isExecutable = (file: string) => /^(?:\x7fELF|MZ|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe|\0asm)/.test(startOf(file));
  t.ok(files.length > 500, `${files.length} files`);
  t.strictSame(files.filter(isExecutable), []);
});

t.test('the rules of CODEOWNERS match something', async (t) => {
  const lines = readFileSync('.github/CODEOWNERS', 'utf8')
    .split('\n')
    .filter((line) => line.includes(' @'));
  const rules = lines.map((line) => line.split(' ')[0] ?? '');
  t.ok(rules.includes('*'), 'every file has an owner');
  for (const rule of rules) t.ok(globSync(rule.replace(/^\//, '')).length > 0, rule);
});

t.test('the forms for issues can be read', async (t) => {
  for (const file of globSync('.github/**/*.yml')) t.type(parse(readFileSync(file, 'utf8')), 'object', file);
});
