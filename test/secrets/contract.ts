/**
 * The contract of every source of secrets: the text is returned as it was stored, and failures are distinguished, name the
 * secret's place and show no secret. Each backend's test file calls `secretsContract`.
 */

import { equal, match } from 'node:assert/strict';
import { inspect } from 'node:util';
import type { Test } from 'tap';
import { type ErrorCode, WebdistError } from '../../src/errors.ts';
import type { SecretSource } from '../../src/secrets/secret-source.ts';

/** How opening or reading fails, and the codes for it. */
const failures = {
  /** There is no such secret, no such field in it, or nothing in it. */
  absent: ['key_absent'],
  noField: ['key_absent'],
  empty: ['key_absent'],
  denied: ['key_denied'],
  unreachable: ['key_unreachable'],
  throttled: ['signer_unavailable'],
  // Never absent or denied: those two stop signing at once, and a malformed response must not.
  malformed: ['key_invalid', 'key_unreachable'],
  malformedLocator: ['config_invalid'],
} as const satisfies Record<string, readonly ErrorCode[]>;

export type SecretSubject = {
  /** `SecretSource.backend`, e.g. `awssecrets`. */
  readonly backend: string;
  /** Opens the secret that holds `text`, with the backend's own opener. */
  open(): Promise<SecretSource> | SecretSource;
  readonly text: string;
  /** Replaces the text, where the test can. */
  change?(text: string): Promise<void> | void;
  /** Every failure that can be produced here: opens a source whose opening or reading throws. */
  readonly failures: { readonly [Way in keyof typeof failures]?: () => Promise<SecretSource> | SecretSource };
  /** A word that names the backend or the thing in every message, e.g. /AWS Secrets Manager/. */
  readonly named: RegExp;
  /** Texts that no message or cause may contain: passwords, tokens, and `text` itself (added by the suite). */
  readonly secrets: readonly string[];
};

/** Adds the suite's tests to `t`; `setUp` is called once and cleans up with `t.teardown`. */
export async function secretsContract(t: Test, setUp: (t: Test) => Promise<SecretSubject>): Promise<void> {
  const subject = await setUp(t);

  await t.test('reads the text as it was stored', async (t) => {
    const source = await subject.open();
    t.teardown(() => source.close());
    t.equal(source.backend, subject.backend);
    t.equal(await source.read(), subject.text);
    hidesSecrets(subject, source);
    if (!subject.change) return;
    await subject.change('changed');
    t.equal(await source.read(), 'changed', 'every read is a new one');
    await subject.change(subject.text);
  });

  for (const [way, open] of Object.entries(subject.failures))
    await t.test(`reading fails: ${way}`, async (t) => {
      const error = await failureOf(open);
      t.ok((failures[way as keyof typeof failures] as readonly ErrorCode[]).includes(error.code), error.code);
      match(error.message, subject.named);
      hidesSecrets(subject, error);
    });
}

async function failureOf(open: () => Promise<SecretSource> | SecretSource): Promise<WebdistError> {
  let source: SecretSource | undefined;
  try {
    source = await open();
    await source.read();
  } catch (error) {
    if (error instanceof WebdistError) return error;
    throw error;
  } finally {
    await source?.close();
  }
  throw new Error('Nothing was thrown.');
}

/** Inspects as deeply as the most verbose log would, causes and their fields included. */
function hidesSecrets({ text, secrets }: SecretSubject, shown: unknown): void {
  const seen = inspect(shown, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null });
  for (const secret of [text, ...secrets]) equal(seen.includes(secret), false, 'a secret is shown');
}
