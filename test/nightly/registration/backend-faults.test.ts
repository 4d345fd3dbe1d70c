/**
 * Every kind of fault of every remote backend, at start-up and while running: the message, what signs meanwhile, and how
 * long recovery takes. Time is virtual: retries run when the test says so. Writes the tables of docs/keys/faults.md.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { type Candidate, openCandidate } from '../../../src/registration/candidates.ts';
import { LEAK } from '../../harness/stand-ins/fault.ts';
import { type Subject, subjects, type Trouble, troublesOfServers } from './backends.ts';

const PAGE = 'docs/keys/faults.md';
/** Where one call hangs, the test waits for its limit. */
const HANG_LIMIT_MS = 1500;
const CALL_LIMIT_SECONDS = 10;
const OUTAGE_SECONDS = 10;

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
    /** Runs the waiting timer and the work that it starts; returns false if there is none. */
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
    for (const trouble of subject.troubles ?? troublesOfServers) {
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
  '| fault | message | reported after | at start-up | recovers after | while running, the key signs | recovers after |',
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

/** Opens the key during the fault, which ends after ten seconds. */
async function atStartUp(t: Test, subject: Subject, trouble: Trouble): Promise<Cell> {
  subject.credentials?.('good');
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

/** Opens the key, then causes the fault for ten seconds. */
async function whileRunning(t: Test, subject: Subject, trouble: Trouble): Promise<Cell> {
  subject.credentials?.('good');
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
  t.match(lines.join(''), `"locator":"${subject.locator.replace(/\?.*/, '')}","event":"key_unreadable"`, trouble.name);
  const held = await signs(candidate);
  const worksAfter = await recovery(subject, trouble, candidate, clock);
  t.equal(await signs(candidate), true, `${trouble.name}: it signs again`);
  t.match(lines.join(''), /"event":"key_readable"/);
  if (worksAfter !== NEXT_CHECK && subject.watchSeconds === undefined)
    t.equal(changed.count, 1, 'the registration is checked once it works');
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
    if (candidate.problem) return 'never';
    return subject.watchSeconds === undefined ? NEXT_CHECK : `${subject.watchSeconds} s`;
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
    .replace(/^The file \S+/, 'The file …')
    .replace(/^The (?!backend|file).*? (?=cannot|may|is|returned|does)/, '… ')
    .replace(/within [\d.]+ s/, `within ${CALL_LIMIT_SECONDS} s`);
  return text.replaceAll('|', '\\|');
}

function hides(t: Test, subject: Subject, shown: readonly unknown[], lines: readonly string[]): void {
  const text = inspect(shown, { depth: 12, showHidden: true, maxStringLength: null }) + lines.join('');
  for (const secret of [LEAK, ...subject.secrets]) t.notOk(text.includes(secret), 'no secret is shown');
  t.notMatch(text, /PRIVATE KEY-----(\n|\\n)/);
}

t.test('docs/keys/faults.md has this table (WEBDIST_WRITE_DOCS=1 writes it)', async (t) => {
  const skipped = subjects.filter(([, skip]) => skip);
  if (skipped.length > 0) return t.comment('not every backend was tested');
  const [before = '', , after = ''] = readFileSync(PAGE, 'utf8').split(/(?<=<!-- faults -->\n)|(?=<!-- \/faults -->)/);
  const page = `${before}${rows.join('\n')}${after}`;
  if (process.env['WEBDIST_WRITE_DOCS']) writeFileSync(PAGE, page);
  t.equal(readFileSync(PAGE, 'utf8'), page);
});
