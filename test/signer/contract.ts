/**
 * The contract of every signer: signatures of 64 bytes that verify, P-256 only, and failures that are distinguished, name
 * the backend and show no secret. Each backend's test file calls `signerContract` with the means to open it and to make it
 * fail.
 */

import { equal, match } from 'node:assert/strict';
import { inspect } from 'node:util';
import { compactVerify } from 'jose';
import type { Test } from 'tap';
import { type ErrorCode, WebdistError } from '../../src/errors.ts';
import { isP256, type Signer, signCompact, signingKey } from '../../src/jws.ts';
import { guard } from '../../src/signer/guarded.ts';
import { type Fault, LEAK, RETRY_AFTER_SECONDS } from '../harness/stand-ins/fault.ts';

/** How opening fails, and the codes for it. */
const refusals = {
  absent: ['key_absent'],
  denied: ['key_denied'],
  unreachable: ['key_unreachable'],
  throttled: ['signer_unavailable'],
  wrongCurve: ['key_invalid'],
  // Never absent or denied: those two stop signing at once, and a malformed response must not.
  malformed: ['key_invalid', 'key_unreachable'],
  malformedLocator: ['config_invalid'],
} as const satisfies Record<string, readonly ErrorCode[]>;

export type SignerSubject = {
  /** `Signer.backend`, e.g. `awskms`. */
  readonly backend: string;
  /** Opens a usable key with the backend's own opener; the suite guards it. */
  open(): Promise<Signer>;
  /** Every failure that can be produced here; each must throw while opening. */
  readonly refusals: { readonly [Way in keyof typeof refusals]?: () => Promise<Signer> };
  /** A word that names the backend in every message to the operator, e.g. /AWS KMS/. */
  readonly named: RegExp;
  /** Makes every later call to the backend fail in this way; undefined ends it. Absent where signing is local. */
  fail?(fault: Fault | undefined): void;
  /** What no message, cause or signer may show: passwords, tokens, private keys. */
  readonly secrets: readonly string[];
};

/** How calls fail while signing. Each is reported as `signer_unavailable`, and ends with the fault. */
const faults: readonly Fault[] = [
  'denied',
  'throttled',
  'slow',
  'stalled',
  'broken',
  'malformed',
  'dropped',
  'leaking',
  'foreign404',
  'foreign403',
];

/** Long enough for a response on a busy machine. */
const TIMEOUT_MS = 30_000;

/** Short enough to wait for, when the backend does not respond. */
const SHORT_TIMEOUT_MS = 1000;

/** Adds the suite's tests to `t`; `setUp` is called once and cleans up with `t.teardown`. */
export async function signerContract(t: Test, setUp: (t: Test) => Promise<SignerSubject>): Promise<void> {
  const subject = await setUp(t);
  // The breaker and the queue need more calls than these and have their own tests.
  const open = async (timeoutMs = TIMEOUT_MS) => guard(await subject.open(), { timeoutMs });

  await t.test('jose verifies its signatures of 64 bytes', async (t) => {
    const signer = await open();
    t.teardown(() => signer.close());
    t.equal(signer.backend, subject.backend);
    t.ok(isP256(signer.publicKey));
    t.equal(signer.publicKey.type, 'public');
    // r and s are padded to 32 bytes each; without that, one signature in 128 is short.
    for (let index = 0; index < 20; index++) {
      t.equal((await signer.sign(Buffer.from(`message ${index}`))).length, 64);
      const jws = await signCompact(signingKey(signer, 'a'), { index });
      const { payload } = await compactVerify(jws, signer.publicKey);
      t.same(JSON.parse(Buffer.from(payload).toString()), { index });
    }
    hidesSecrets(subject, signer);
  });

  await t.test('signs many at once', async (t) => {
    const signer = await open();
    t.teardown(() => signer.close());
    const jobs = Array.from({ length: 20 }, (_, index) => signCompact(signingKey(signer, 'a'), { index }));
    const signed = await Promise.all(jobs);
    for (const jws of signed) await compactVerify(jws, signer.publicKey);
    t.equal(new Set(signed).size, jobs.length);
  });

  for (const [way, refuse] of Object.entries(subject.refusals))
    await t.test(`opening is refused: ${way}`, async (t) => {
      const error = await failureOf(refuse());
      t.ok((refusals[way as keyof typeof refusals] as readonly ErrorCode[]).includes(error.code), error.code);
      match(error.message, subject.named);
      hidesSecrets(subject, error);
    });

  for (const fault of subject.fail ? faults : [])
    await t.test(`signing fails and recovers: ${fault}`, async (t) => {
      const signer = await open(fault === 'slow' || fault === 'stalled' ? SHORT_TIMEOUT_MS : TIMEOUT_MS);
      t.teardown(() => {
        subject.fail?.(undefined);
        return signer.close();
      });
      subject.fail?.(fault);
      const error = await failureOf(Promise.resolve(signer.sign(Buffer.from('a'))));
      t.equal(error.code, 'signer_unavailable');
      match(error.message, new RegExp(subject.backend));
      if (fault === 'throttled') t.equal(error.retryAfterSeconds, RETRY_AFTER_SECONDS);
      else t.ok((error.retryAfterSeconds ?? 0) > 0);
      hidesSecrets(subject, error);
      subject.fail?.(undefined);
      t.equal((await signer.sign(Buffer.from('a'))).length, 64);
    });
}

async function failureOf(promise: Promise<unknown>): Promise<WebdistError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof WebdistError) return error;
    throw error;
  }
  throw new Error('Nothing was thrown.');
}

/** Inspects as deeply as the most verbose log would, causes and their fields included. */
function hidesSecrets(subject: Pick<SignerSubject, 'secrets'>, shown: unknown): void {
  const text = inspect(shown, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null });
  for (const secret of [LEAK, ...subject.secrets]) equal(text.includes(secret), false, 'a secret is shown');
}
