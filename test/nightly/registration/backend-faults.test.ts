/**
 * Every remote backend in every kind of trouble, at start-up and while running: the message, what signs meanwhile, and how
 * long it takes. Time is virtual: retries run when the test says so. Writes the tables of docs/keys/faults.md.
 */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { type Candidate, openCandidate } from '../../../src/registration/candidates.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { startAws, withoutMoto } from '../../harness/stand-ins/aws.ts';
import { startAzure, withoutOpenssl } from '../../harness/stand-ins/azure.ts';
import { type Fault, LEAK } from '../../harness/stand-ins/fault.ts';
import { startGoogle } from '../../harness/stand-ins/google.ts';
import { setVariables } from '../../harness/stand-ins/variables.ts';
import { administer, startVault } from '../../harness/stand-ins/vault.ts';

const PAGE = 'docs/keys/faults.md';
/** Where one call hangs, the test waits for its limit. */
const HANG_LIMIT_MS = 1500;
const CALL_LIMIT_SECONDS = 10;
const OUTAGE_SECONDS = 10;

/** Ways in which credentials are bad; each stand-in has a file or a variable with them. */
type Credentials = 'good' | 'missing' | 'wrong';
type Subject = {
  readonly locator: string;
  fault(fault: Fault | undefined): void;
  credentials(state: Credentials): void;
  readonly secrets: readonly string[];
  /** An open login goes on, whatever happens to the credentials that it was made with. */
  readonly keepsLogin?: boolean;
};

const pem = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

async function vault(t: Test, mount: 'kv' | 'transit'): Promise<Subject> {
  const server = await startVault();
  t.teardown(() => server[Symbol.asyncDispose]());
  const admin = (path: string, body: object) => administer(server.url, server.rootToken, 'POST', path, body);
  await admin(`sys/mounts/${mount}`, { type: mount });
  if (mount === 'kv') await admin('kv/data/shop', { data: { key: pem() } });
  else await admin('transit/keys/shop', { type: 'ecdsa-p256' });
  const file = join(temporaryFolder(t), 'token');
  setVariables(t, { VAULT_ADDR: server.url, VAULT_TOKEN_FILE: file });
  return {
    locator: mount === 'kv' ? 'vault+kv://kv/shop#key' : 'hashivault://shop',
    fault: (fault) => {
      server.fault = fault;
    },
    credentials: (state) =>
      writeOrRemove(file, { good: server.rootToken, wrong: 'hvs.wrong', missing: undefined }[state]),
    secrets: [server.rootToken],
    keepsLogin: mount === 'kv',
  };
}

async function aws(t: Test, service: 'kms' | 'secrets'): Promise<Subject> {
  const server = await startAws();
  t.teardown(() => server[Symbol.asyncDispose]());
  setVariables(t, server.variables);
  const file = join(temporaryFolder(t), 'credentials');
  const kms = new KMSClient();
  const manager = new SecretsManagerClient();
  t.teardown(() => {
    kms.destroy();
    manager.destroy();
  });
  const keyId =
    service === 'kms'
      ? (await kms.send(new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }))).KeyMetadata?.KeyId
      : (await manager.send(new CreateSecretCommand({ Name: 'shop', SecretString: pem() }))).Name;
  const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = server.variables;
  // From now on the credentials are in a file, which can change while the process runs.
  setVariables(t, {
    AWS_ACCESS_KEY_ID: '',
    AWS_SECRET_ACCESS_KEY: '',
    AWS_SESSION_TOKEN: '',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SHARED_CREDENTIALS_FILE: file,
    AWS_CONFIG_FILE: '/dev/null',
  });
  const credentials = (id: string) => `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`;
  return {
    locator: service === 'kms' ? `awskms:///${keyId}` : 'awssecrets://shop',
    fault: (fault) => {
      server.fault = fault;
    },
    credentials: (state) =>
      writeOrRemove(
        file,
        { good: credentials(id), wrong: credentials('AKIAWRONGWRONGWRONG0'), missing: undefined }[state],
      ),
    secrets: server.confidential,
  };
}

async function google(t: Test, service: 'kms' | 'secrets'): Promise<Subject> {
  const server = await startGoogle();
  t.teardown(() => server[Symbol.asyncDispose]());
  const file = join(temporaryFolder(t), 'account.json');
  setVariables(t, server.variables(file));
  const secret = 'projects/shop/secrets/key/versions/1';
  const key = 'projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys/key/cryptoKeyVersions/1';
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (service === 'kms') server.keys.set(key, { privateKey, algorithm: 'EC_SIGN_P256_SHA256' });
  else server.secrets.set(secret, pem());
  const otherKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });
  const wrong = JSON.stringify({ ...server.credentials, private_key: otherKey });
  return {
    locator: service === 'kms' ? `gcpkms://${key}` : `gcpsecrets://${secret}`,
    fault: (fault) => {
      server.fault = fault;
    },
    credentials: (state) =>
      writeOrRemove(file, { good: JSON.stringify(server.credentials), wrong, missing: undefined }[state]),
    secrets: server.confidential,
  };
}

async function azure(t: Test, service: 'kms' | 'secrets'): Promise<Subject> {
  const server = await startAzure();
  t.teardown(() => server[Symbol.asyncDispose]());
  // The rest of the chain tries programs and addresses that do not exist here.
  setVariables(t, { ...server.variables, AZURE_TOKEN_CREDENTIALS: 'EnvironmentCredential' });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (service === 'kms') server.keys.set('key', [{ version: randomBytes(16).toString('hex'), privateKey }]);
  else server.secrets.set('key', pem());
  const good = server.variables['AZURE_CLIENT_SECRET'] ?? '';
  return {
    locator: `${service === 'kms' ? 'azurekms' : 'azuresecrets'}://${server.vault}/key`,
    fault: (fault) => {
      server.fault = fault;
    },
    credentials(state) {
      process.env['AZURE_CLIENT_SECRET'] = { good, wrong: 'wrong', missing: '' }[state];
    },
    secrets: server.confidential,
  };
}

function writeOrRemove(file: string, text: string | undefined): void {
  if (text === undefined) rmSync(file, { force: true });
  else writeFileSync(file, text);
}

const subjects: readonly [string, string | false | undefined, (t: Test) => Promise<Subject>][] = [
  ['vault+kv', false, (t) => vault(t, 'kv')],
  ['hashivault', false, (t) => vault(t, 'transit')],
  ['awssecrets', withoutMoto, (t) => aws(t, 'secrets')],
  ['awskms', withoutMoto, (t) => aws(t, 'kms')],
  ['gcpsecrets', false, (t) => google(t, 'secrets')],
  ['gcpkms', false, (t) => google(t, 'kms')],
  ['azuresecrets', withoutOpenssl, (t) => azure(t, 'secrets')],
  ['azurekms', withoutOpenssl, (t) => azure(t, 'kms')],
];

type Trouble = { readonly name: string; begin(subject: Subject): void; end(subject: Subject): void };

const fault = (name: string, fault: Fault): Trouble => ({
  name,
  begin: (subject) => subject.fault(fault),
  end: (subject) => subject.fault(undefined),
});
const credentials = (name: string, state: Credentials): Trouble => ({
  name,
  begin: (subject) => subject.credentials(state),
  end: (subject) => subject.credentials('good'),
});

const troubles: readonly Trouble[] = [
  credentials('credentials missing, or late', 'missing'),
  credentials('credentials wrong', 'wrong'),
  fault('credentials expired', 'expired'),
  fault('access denied', 'denied'),
  fault('unreachable, or away for ten seconds', 'dropped'),
  fault('silent before the headers', 'slow'),
  fault('silent after the headers', 'stalled'),
  fault('a broken body that contains a key', 'leaking'),
  fault('throttled', 'throttled'),
  fault('failing (5xx)', 'broken'),
  fault("another server's 404", 'foreign404'),
  fault("another server's 403", 'foreign403'),
];

/** A clock whose timers run when the test says so. */
function virtualClock() {
  let timer: { seconds: number; callback: () => unknown } | undefined;
  let now = 0;
  return {
    random: () => 1,
    after(ms: number, callback: () => unknown) {
      const set = { seconds: ms / 1000, callback };
      timer = set;
      return () => {
        if (timer === set) timer = undefined;
      };
    },
    get now() {
      return now;
    },
    /** Runs the waiting timer and what it starts; false when there is none. */
    async advance(): Promise<boolean> {
      const due = timer;
      timer = undefined;
      if (!due) return false;
      now += due.seconds;
      await due.callback();
      return true;
    },
  };
}

type Cell = { message: string; signs: string; messageAfter: string; worksAfter: string };

const rows: string[] = [];
for (const [scheme, skip, open] of subjects)
  t.test(scheme, { skip: skip ?? false }, async (t) => {
    const subject = await open(t);
    const table: string[] = [];
    for (const trouble of troubles) {
      const start = await atStartUp(t, subject, trouble);
      const run = await whileRunning(t, subject, trouble);
      t.notMatch(`${start.message}${run.message}`, /never|undefined|\bat file:|Error:/, trouble.name);
      if (run.message)
        t.equal(start.message, run.message, `${trouble.name}: the same message at start-up and while running`);
      table.push(
        `| ${[trouble.name, start.message, start.messageAfter, start.signs, start.worksAfter, run.signs, run.worksAfter].join(' | ')} |`,
      );
    }
    rows.push(`### \`${scheme}\`\n`, HEADER, ...table, '');
  });

const HEADER = [
  '| trouble | message | reported after | at start-up | recovers after | while running, the key signs | recovers after |',
  '| --- | --- | --- | --- | --- | --- | --- |',
].join('\n');

async function openWith(subject: Subject, trouble: Trouble | undefined) {
  const lines: string[] = [];
  const clock = virtualClock();
  const changed = { count: 0 };
  const isHang = trouble?.name.startsWith('silent');
  const candidate = await openCandidate(subject.locator, {
    env: process.env,
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
    onChange: () => {
      changed.count++;
    },
    clock,
    ...(isHang && { limitMs: HANG_LIMIT_MS }),
  });
  return { candidate, clock, changed, lines };
}

/** Opens the key in trouble; ends the trouble after ten seconds. */
async function atStartUp(t: Test, subject: Subject, trouble: Trouble): Promise<Cell> {
  subject.credentials('good');
  trouble.begin(subject);
  const { candidate, clock, lines } = await openWith(subject, trouble);
  const { problem } = candidate;
  t.equal(candidate.signer, undefined, `${trouble.name}: nothing is held`);
  t.ok(problem, trouble.name);
  const worksAfter = await recovery(subject, trouble, candidate, clock);
  hides(t, subject, [problem, candidate], lines);
  const isFatal = ['key_absent', 'key_denied', 'key_invalid'].includes(problem?.code ?? '');
  await candidate.close();
  return {
    message: messageOf(problem),
    signs: isFatal ? 'webdist exits with the message' : 'other keys sign',
    messageAfter: /did not answer within/.test(problem?.message ?? '') ? `${CALL_LIMIT_SECONDS} s` : 'at once',
    worksAfter: isFatal ? 'the next start' : worksAfter,
  };
}

/** Opens the key, then has trouble for ten seconds. */
async function whileRunning(t: Test, subject: Subject, trouble: Trouble): Promise<Cell> {
  subject.credentials('good');
  const { candidate, clock, changed, lines } = await openWith(subject, trouble);
  t.equal(candidate.problem, undefined, `${trouble.name}: opened`);
  trouble.begin(subject);
  await candidate.refresh();
  const { problem } = candidate;
  if (!problem && subject.keepsLogin) {
    trouble.end(subject);
    await candidate.close();
    return { message: '', signs: 'yes: the login goes on', messageAfter: '', worksAfter: '' };
  }
  t.ok(problem, trouble.name);
  t.match(lines.join(''), /"event":"key_unreadable"/, trouble.name);
  const held = await signs(candidate);
  const worksAfter = await recovery(subject, trouble, candidate, clock);
  t.equal(await signs(candidate), true, `${trouble.name}: it signs again`);
  t.match(lines.join(''), /"event":"key_readable"/);
  if (worksAfter !== NEXT_CHECK) t.equal(changed.count, 1, 'the registration is checked once it works');
  hides(t, subject, [problem, candidate], lines);
  await candidate.close();
  return {
    message: messageOf(problem),
    signs: held ? 'yes' : 'no: 503',
    messageAfter: '',
    worksAfter,
  };
}

const NEXT_CHECK = 'the next check, or SIGHUP';

async function recovery(
  subject: Subject,
  trouble: Trouble,
  candidate: Candidate,
  clock: ReturnType<typeof virtualClock>,
): Promise<string> {
  const isHang = trouble.name.startsWith('silent');
  let ended = false;
  for (let attempt = 0; candidate.problem && attempt < 20; attempt++) {
    // One attempt that hangs is enough.
    if (!ended && (isHang || clock.now >= OUTAGE_SECONDS / 2)) {
      ended = true;
      trouble.end(subject);
    }
    if (!(await clock.advance())) break;
  }
  if (!ended) trouble.end(subject);
  if (candidate.problem) {
    await candidate.refresh();
    return candidate.problem ? 'never' : NEXT_CHECK;
  }
  return `${Math.ceil(isHang ? clock.now : clock.now - OUTAGE_SECONDS)} s`;
}

async function signs(candidate: Candidate): Promise<boolean> {
  try {
    return (await candidate.signer?.sign(Buffer.from('a')))?.length === 64;
  } catch {
    return false; // The signer reports why; the message of the refresh is what is compared here.
  }
}

/** The message without the name of the key. */
function messageOf(problem: Candidate['problem']): string {
  const text = (problem?.detail ?? 'none')
    .replace(/^The backend of .*? did/, 'The backend of … did')
    .replace(/^The file \S+ with/, 'The file … with')
    .replace(/^The (?!backend|file).*? (?=cannot|may|is|returned|does)/, '… ')
    .replace(/within [\d.]+ s/, `within ${CALL_LIMIT_SECONDS} s`);
  return text.replaceAll('|', '\\|');
}

function hides(t: Test, subject: Subject, shown: readonly unknown[], lines: readonly string[]): void {
  const text = inspect(shown, { depth: 12, showHidden: true, maxStringLength: null }) + lines.join('');
  for (const secret of [LEAK, ...subject.secrets]) t.notOk(text.includes(secret), 'no secret is shown');
  t.notMatch(text, /PRIVATE KEY-----/);
}

t.test('docs/keys/faults.md has this table (WEBDIST_WRITE_DOCS=1 writes it)', async (t) => {
  const skipped = subjects.filter(([, skip]) => skip);
  if (skipped.length > 0) return t.comment('not every backend was tested');
  const [before = '', , after = ''] = readFileSync(PAGE, 'utf8').split(/(?<=<!-- faults -->\n)|(?=<!-- \/faults -->)/);
  const page = `${before}${rows.join('\n')}${after}`;
  if (process.env['WEBDIST_WRITE_DOCS']) writeFileSync(PAGE, page);
  t.equal(readFileSync(PAGE, 'utf8'), page);
});
