/** The boundary around calls to backends: the time limit, late results, and which parts of an error are kept. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { inspect } from 'node:util';
import t from 'tap';
import { backendAtWork, callBackend, closeBackend, forBackend } from '../../src/cloud/boundary.ts';
import { vendorError } from '../../src/cloud/vendor-error.ts';
import { WebdistError } from '../../src/errors.ts';

const call = { backend: 'awskms', name: 'awskms:///alias/a', limitMs: 20 };
const never = () => new Promise<never>(() => undefined);

t.test('a call that does not end fails at the limit; its late result is discarded', async (t) => {
  await t.rejects(callBackend(call, never), {
    code: 'key_unreachable',
    message: /^The backend of awskms:\/\/\/alias\/a did not answer within 0\.02 s\./,
  });
  const late = Promise.withResolvers<string>();
  const discarded: string[] = [];
  await t.rejects(
    callBackend(
      call,
      () => late.promise,
      (result) => discarded.push(result),
    ),
  );
  late.resolve('late');
  await nextTurn();
  t.strictSame(discarded, ['late']);

  t.equal(
    await callBackend(
      call,
      () => 'in time',
      (result) => discarded.push(result),
    ),
    'in time',
  );
  t.strictSame(discarded, ['late'], 'a result in time is not discarded');
});

t.test('closing never throws', async () => {
  for (const close of [
    async () => Promise.reject(new Error('no')),
    () => {
      throw new Error('no');
    },
    async () => undefined,
  ])
    await closeBackend('awskms', close);
});

t.test('an error of ours passes; any other is reduced to its codes', async (t) => {
  const ours = new WebdistError('key_denied', 'No.');
  await t.rejects(
    callBackend(call, () => Promise.reject(ours)),
    ours,
  );
  const theirs = Object.assign(new Error('body: SECRET'), { code: 'ECONNRESET', response: { body: 'SECRET' } });
  const error = await callBackend(call, () => Promise.reject(theirs)).catch((error) => error);
  t.match(error, { code: 'key_unreachable', cause: { message: 'ECONNRESET' } });
  t.notMatch(inspect(error, { depth: 9, showHidden: true }), 'SECRET');
});

t.test('what a call starts in the background is recognised, and nothing else is', async (t) => {
  t.equal(backendAtWork(), undefined);
  const seen: (string | undefined)[] = [];
  await forBackend('gcpkms', () => nextTurn()).then(() => seen.push(backendAtWork()));
  await new Promise<void>((resolve) =>
    forBackend('gcpkms', () =>
      setImmediate(() => {
        seen.push(backendAtWork());
        resolve();
      }),
    ),
  );
  t.strictSame(seen, [undefined, 'gcpkms']);
});

t.test('only codes in known forms are kept of an error', (t) => {
  const pem = 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg';
  for (const [thrown, kept] of [
    [
      Object.assign(new Error(pem), {
        name: 'AccessDeniedException',
        $metadata: { httpStatusCode: 400, requestId: '8a5f1b0c-0000-4000-8000-0123456789ab' },
      }),
      'AccessDeniedException, status 400, request 8a5f1b0c-0000-4000-8000-0123456789ab',
    ],
    [
      Object.assign(new Error(pem), { statusCode: 403, code: 'Forbidden', response: { headers: { get: () => pem } } }),
      'Forbidden, status 403',
    ],
    [
      Object.assign(new Error(`AADSTS7000222: ${pem}`), { name: 'AuthenticationError', statusCode: 401 }),
      'AuthenticationError, AADSTS7000222, status 401',
    ],
    [Object.assign(new Error(pem), { code: 404 }), 'status 404'],
    [Object.assign(new Error('fetch failed'), { name: 'TypeError', cause: { code: 'ENOTFOUND' } }), 'ENOTFOUND'],
    [Object.assign(new Error('CKR_PIN_INCORRECT:160'), { code: 160 }), 'CKR_PIN_INCORRECT'],
    [Object.assign(new Error(pem), { code: pem, name: pem }), 'an error without a known code'],
    [new SyntaxError(`Unexpected token in ${pem}`), 'SyntaxError'],
    [pem, 'an error without a known code'],
    [{ message: pem, $response: { headers: { 'x-amzn-requestid': pem } } }, 'an error without a known code'],
    [undefined, 'an error without a known code'],
  ] as const) {
    t.equal(vendorError(thrown).message, kept);
    t.notMatch(inspect(vendorError(thrown), { showHidden: true }), pem);
  }
  t.end();
});
