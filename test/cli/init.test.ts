/** `webdist init`: a service starts from every format that it writes; it can run again, and without a terminal. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import t, { type Test } from 'tap';
import { parseAllDocuments } from 'yaml';
import type { FormatName } from '../../src/cli/init/format-names.ts';
import { initialize } from '../../src/cli/init/run.ts';
import { runDoctor } from '../../src/doctor/doctor.ts';
import type { Environment } from '../../src/environment.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { openFileRegistrationStore } from '../../src/registration/store-file.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';
import { noTerminal, openTerminal } from '../harness/terminal.ts';

/** The account of a new customer: an API key in a file, and nothing else. */
function customerOf(t: Test, { settings }: Sandbox) {
  const folder = temporaryFolder(t);
  const apiKey = join(folder, `AuthKey_${settings['ASC_KEY_ID']}.p8`);
  writeFileSync(apiKey, Buffer.from(settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64'), { mode: 0o600 });
  const options = { apiKey, issuerId: settings['ASC_ISSUER_ID'] ?? '', domain: 'example.com' };
  return { folder, options, env: { ASC_BASE_URL: settings['ASC_BASE_URL'] } };
}

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const environmentOf = (folder: string) =>
  parseEnv(readFileSync(join(folder, '.env'), 'utf8')) as Record<string, string>;

/** The environment with the folders that the platform mounts at other paths. */
const withMounts = (env: Record<string, string>, mounts: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).map(([name, value]) => [
      name,
      Object.entries(mounts).reduce(
        (text, [there, here]) => text.replace(`file://${there}/`, `file://${here}/`),
        value,
      ),
    ]),
  );

const yamlIn = (path: string) => parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS());

/**
 * The environment of the service that each platform derives from the files. Undefined if the platform's tool is not
 * installed.
 */
const platforms: Readonly<Record<string, (folder: string, t: Test) => Environment | undefined>> = {
  env: environmentOf,
  compose(folder) {
    const [{ services, secrets }] = yamlIn(join(folder, 'compose.yaml'));
    const { env_file: envFiles, environment, user } = services.webdist;
    t.strictSame(envFiles, ['.env']);
    for (const { file } of Object.values(secrets) as { file: string }[]) {
      const owner = statSync(join(folder, file));
      t.equal(user, `${owner.uid}:${owner.gid}`, 'the container can read its secrets');
    }
    return withMounts({ ...environmentOf(folder), ...environment }, { '/run/secrets': join(folder, 'secrets') });
  },
  kubernetes(folder, t) {
    const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], { encoding: 'utf8' });
    if (status === null) return undefined;
    t.equal(status, 0, stderr);
    const all = parseAllDocuments(stdout).map((document) => document.toJS());
    const secret = (start: string) =>
      all.find((one) => one.kind === 'Secret' && one.metadata.name.startsWith(start)).data;
    const decoded = (data: Record<string, string>) =>
      Object.entries(data).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]);
    const { spec } = all.find(({ kind }) => kind === 'Deployment').spec.template;
    t.match(spec.containers[0].envFrom[0].secretRef.name, /^webdist-settings-/);
    const mounted = temporaryFolder(t);
    for (const [name = '', text = ''] of decoded(secret('webdist-keys')))
      writeFileSync(join(mounted, name), text, { mode: 0o600 });
    return withMounts(Object.fromEntries(decoded(secret('webdist-settings'))), { '/secrets': mounted });
  },
  systemd(folder, t) {
    const unit = readFileSync(join(folder, 'webdist.service'), 'utf8');
    const all = (name: string) => [...unit.matchAll(new RegExp(`^${name}=(.+)$`, 'gm'))].map(([, value = '']) => value);
    const verified = spawnSync('systemd-analyze', ['verify', join(folder, 'webdist.service')], { encoding: 'utf8' });
    if (verified.status !== null) t.notMatch(verified.stderr, /webdist\.service:\d+/, 'systemd accepts the unit');
    t.ok(all('ExecStart')[0]?.startsWith(process.execPath));
    t.ok(existsSync(all('ExecStart')[0]?.split(' ').at(-2) ?? ''), 'the program is there');
    for (const credential of all('LoadCredential')) t.ok(existsSync(credential.split(':')[1] ?? ''), credential);
    const [file = ''] = all('EnvironmentFile');
    const set = parseEnv(all('Environment').join('\n')) as Record<string, string>;
    return withMounts(
      { ...(parseEnv(readFileSync(file, 'utf8')) as Record<string, string>), ...set },
      { '%d': join(folder, 'secrets') },
    );
  },
};

/** The commands that follow the start. */
const nextOf: Readonly<Record<string, readonly RegExp[]>> = {
  env: [/webdist -- packages pull$/, /webdist -- doctor$/],
  compose: [/^docker compose -f \S+ exec webdist node \S+main\.js packages pull$/, /doctor$/],
  kubernetes: [/^kubectl -n webdist exec deployment\/webdist -- node \S+main\.js packages pull$/, /doctor$/],
  systemd: [],
};

for (const [format, environmentFor] of Object.entries(platforms))
  t.test(`${format}: a service starts from the files`, async (t) => {
    const sandbox = await startSandbox(t);
    const { folder, options, env } = customerOf(t, sandbox);
    const out = join(folder, 'service');
    const { start, next } = await initialize({ ...options, format: format as FormatName, out }, env);
    t.ok(start.length > 0);
    t.match(next, nextOf[format]);
    for (const name of ['.env', 'secrets/distribution-key.pem', 'secrets/app-store-connect.p8'])
      t.equal(modeOf(join(out, name)), '600', name);
    t.equal(modeOf(join(out, 'secrets')), '700');
    const service = environmentFor(out, t);
    if (!service) return t.pass('kubectl is not here');
    const dataDir = join(out, 'data');
    const running = await startReady(t, undefined, { ...service, WEBDIST_DATA_DIR: dataDir });
    const answer = await fetch(`${running.url}/install-token`, {
      method: 'POST',
      headers: { origin: 'https://example.com', 'content-type': 'application/json' },
      body: '{}',
    });
    t.match(await answer.json(), { dtype: 'download', installUrl: /example\.com%2Fadp%2F6500000001/ });
    const findings = await runDoctor({ env: { ...service, WEBDIST_DATA_DIR: dataDir } });
    const failed = findings.filter(({ result }) => result === 'fail').map(({ id }) => id);
    t.strictSame(failed, ['package-manifest', 'licence-settings'], 'only what init cannot do is missing');
  });

t.test('another run keeps the keys and the settings, and may change the format', async (t) => {
  const sandbox = await startSandbox(t);
  const { folder: out, options, env } = customerOf(t, sandbox);
  const dry = await initialize({ ...options, out, dryRun: true }, env);
  t.equal(dry.files.length, 3);
  t.notOk(existsSync(join(out, 'secrets')), 'a dry run writes nothing');
  const set = ['WEBDIST_TRUST_PROXY=10.0.0.0/8 10.1.0.0/16', 'VAULT_ADDR=x#y'];
  const first = await initialize({ ...options, out, set }, env);
  const key = readFileSync(join(out, 'secrets/distribution-key.pem'), 'utf8');
  const sourced = spawnSync('sh', [
    '-c',
    `. ${join(out, '.env')}; printf '%s|%s' "$WEBDIST_TRUST_PROXY" "$VAULT_ADDR"`,
  ]);
  t.equal(sourced.stdout.toString(), '10.0.0.0/8 10.1.0.0/16|x#y', 'a shell reads it');
  const second = await initialize({ out, format: 'compose' }, {});
  t.equal(second.fingerprint, first.fingerprint);
  t.equal(readFileSync(join(out, 'secrets/distribution-key.pem'), 'utf8'), key);
  t.match(environmentOf(out), { WEBDIST_TRUST_PROXY: '10.0.0.0/8 10.1.0.0/16', VAULT_ADDR: 'x#y', ...env });
  t.equal(environmentOf(out)['WEBDIST_KEY'], undefined, 'compose has its own path');
  const third = await initialize({ out, domain: 'shop.example.com' }, {});
  t.match(third, { format: 'compose', domain: 'shop.example.com' });
  t.match(environmentOf(out), { WEBDIST_DOMAIN: 'shop.example.com' });
});

t.test('an .env that a person or another tool wrote', async (t) => {
  const sandbox = await startSandbox(t);
  const { options, env } = customerOf(t, sandbox);
  const over = async (text: string) => {
    const out = temporaryFolder(t);
    writeFileSync(join(out, '.env'), text);
    const before = text;
    try {
      await initialize({ ...options, out }, env);
      return { text: readFileSync(join(out, '.env'), 'utf8'), error: undefined };
    } catch (error) {
      t.equal(readFileSync(join(out, '.env'), 'utf8'), before, 'nothing is written');
      return { text: '', error };
    }
  };
  const kept: readonly (readonly [text: string, ...lines: string[]])[] = [
    ['FOO=1', 'FOO=1'],
    ['FOO=1\r\nBAR=2\r\n', 'FOO=1', 'BAR=2'],
    ['\uFEFFFOO=1\n', 'FOO=1'],
    ['# of another tool\nFOO="a b"\n\n  # indented\n', '# of another tool', "FOO='a b'", '# indented'],
    ['export FOO=1', 'FOO=1'],
    ['#WEBDIST_REDIS_URL=redis://cache\nFOO=', '#WEBDIST_REDIS_URL=redis://cache', 'FOO='],
    ['FOO=it"s', `FOO='it"s'`],
  ];
  for (const [text, ...lines] of kept) {
    const { text: written, error } = await over(text);
    t.equal(error, undefined, text);
    for (const line of lines) t.equal(written.split('\n').filter((one) => one === line).length, 1, line);
    t.notMatch(written, '\r');
  }
  const refused: readonly (readonly [text: string, says: RegExp])[] = [
    ['FOO=1\nnonsense\n', /line 2 is not NAME=value/],
    ['FOO="-----BEGIN\nabc\n-----END"\n', /line 1 is not NAME=value on one line.*NAME_FILE/],
    ['FOO: 1', /line 1/],
    ['[webdist]\nFOO=1', /line 1/],
  ];
  for (const [text, message] of refused) t.match((await over(text)).error, { code: 'state_invalid', message }, text);
  const twice = await over(`${(await over('# mine\nFOO=1')).text}BAR=2`);
  t.equal(twice.text.match(/# mine|Settings of webdist|Nothing is installed/g)?.length, 3, 'each comment once');
});

t.test(
  'at a terminal, each wrong answer is explained and the question comes again',
  { skip: noTerminal },
  async (t) => {
    const sandbox = await startSandbox(t);
    const { folder, options, env } = customerOf(t, sandbox);
    const questions = {
      api: /App Store Connect API key .*: $/,
      domain: /Domain of the website: $/,
      issuer: /Issuer id .*: $/,
      place: /Where to keep .*: $/,
      format: /Format \[env\]: $/,
    };
    const { api, domain, issuer, place, format } = questions;
    const dialogue: readonly (readonly [question: RegExp, answer: string, says?: RegExp])[] = [
      [api, '', /An answer is needed/],
      [api, '/none.p8', /There is no file \/none\.p8/],
      [api, options.apiKey],
      [domain, 'https://example.com', /expected a bare domain/],
      [domain, 'example.com'],
      [issuer, options.issuerId],
      [place, 'none.pem', /There is no file none\.pem/],
      [place, ''],
      [format, 'docker', /Choose one of env, compose, kubernetes, systemd/],
      [format, ''],
    ];
    const out = join(folder, 'service');
    const terminal = openTerminal(t, `init --out ${out}`, env);
    for (const [index, [question, answer]] of dialogue.entries()) {
      const before = dialogue[index - 1]?.[2];
      const screen = await terminal.shows(question);
      if (before) t.match(screen, before, `${answer} after ${before}`);
      terminal.type(`${answer}\r`);
    }
    t.equal(await terminal.ended, 0);
    t.ok(existsSync(join(out, 'secrets/distribution-key.pem')));
    const [first = api, second = domain] = Object.values(questions);
    const stopped = openTerminal(t, `init --out ${out}2`, env);
    await stopped.shows(first);
    stopped.type(`${options.apiKey}\r`);
    await stopped.shows(second);
    stopped.type('\u0003');
    t.equal(await stopped.ended, 1, 'Ctrl-C');
    t.notOk(existsSync(`${out}2`), 'nothing is written');
  },
);

t.test('what is wrong is reported before anything is written', async (t) => {
  const sandbox = await startSandbox(t);
  const { folder, options, env } = customerOf(t, sandbox);
  const out = join(folder, 'service');
  const cases: readonly (readonly [options: object, code: ErrorCode, says: RegExp])[] = [
    [{}, 'usage_invalid', /Not given: --api-key, --key-id, --domain\./],
    [{ ...options, domain: undefined }, 'usage_invalid', /Not given: --domain\./],
    [{ ...options, app: 'com.example.none' }, 'asc_not_found', /no app "com\.example\.none"/],
    [{ ...options, domain: 'https://example.com' }, 'config_invalid', /WEBDIST_DOMAIN: expected a bare domain/],
    [{ ...options, set: ['WEBDIST_NOPE=1'] }, 'config_invalid', /WEBDIST_NOPE: there is no such setting/],
    [{ ...options, set: ['WEBDIST_COUNTRY_HEADER=x'] }, 'config_invalid', /COUNTRY_HEADER: needs WEBDIST_TRUST_PROXY/],
    [{ ...options, set: ['nonsense'] }, 'usage_invalid', /--set needs NAME=value/],
    [{ ...options, packageUrl: 'http://example.com/adp' }, 'config_invalid', /PACKAGE_URL: expected an absolute https/],
    [{ ...options, key: '/none.pem' }, 'key_absent', /none\.pem/],
    [{ ...options, key: options.apiKey.replace('AuthKey', 'Auth') }, 'key_absent', /Auth_/],
    [{ ...options, apiKey: '/none.p8', keyId: 'ABC' }, 'key_absent', /none\.p8/],
    [{ ...options, keyId: 'WRONGID123' }, 'asc_credentials', /ASC_KEY_ID/],
  ];
  for (const [wrong, code, says] of cases) {
    const given = Object.fromEntries(Object.entries(wrong).filter(([, value]) => value !== undefined));
    await t.rejects(initialize({ ...given, out }, env), { code, message: says }, JSON.stringify(given));
    t.notOk(existsSync(out), 'nothing is written');
  }
});

t.test('a registered key that is not the given one, foreign files and another key are not replaced', async (t) => {
  const sandbox = await startSandbox(t);
  const { folder: out, options, env } = customerOf(t, sandbox);
  writeFileSync(join(out, 'compose.yaml'), 'services: {}\n');
  await t.rejects(initialize({ ...options, out, format: 'compose' }, env), {
    message: /was not written by webdist init/,
  });
  t.notOk(existsSync(join(out, 'secrets')));
  const { code } = await webdist(['keys', 'add', '--app', '6500000001'], sandbox.settings);
  t.equal(code, 0);
  await t.rejects(initialize({ ...options, out }, env), {
    code: 'different_key_registered',
    message: /com\.example\.trailmap has another key at App Store Connect/,
  });
  t.notOk(existsSync(join(out, 'secrets')));
  const key = new URL(sandbox.settings['WEBDIST_KEY'] ?? '').pathname;
  const { checks } = await initialize({ ...options, key, out }, env);
  t.match(checks[1], { result: 'ok', text: /registered as/ });
  const other = await webdist(['keygen', '--out', join(out, 'other.pem')]);
  t.equal(other.code, 0);
  const settings = { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t as Test) };
  await webdist(['keys', 'rotate', '--to', `file://${out}/other.pem`, '--yes'], settings);
  const ever = await openFileRegistrationStore(settings.WEBDIST_DATA_DIR).everRegistered();
  t.strictSame([...ever], ['6500000001'], 'a removed key is not registered again');
  await t.rejects(initialize({ ...options, key: join(out, 'other.pem'), out }, env), {
    message: /distribution-key\.pem holds another distribution key/,
  });
});
