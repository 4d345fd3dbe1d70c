import t from 'tap';
import { classifyResponse } from '../../src/app-store-connect/classify.ts';
import type { ErrorCode } from '../../src/errors.ts';

type Case = {
  status: number;
  codes?: string[];
  body?: unknown;
  offset?: number;
  is: ErrorCode;
};

const errorsOf = (status: number, codes: string[]) => ({
  errors: codes.map((code) => ({ status: String(status), code, title: `Title of ${code}` })),
});

const AGREEMENT = 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED';
const cases: Case[] = [
  { status: 401, codes: ['NOT_AUTHORIZED'], is: 'asc_credentials' },
  { status: 401, codes: ['NOT_AUTHORIZED'], offset: 30, is: 'asc_credentials' },
  { status: 401, codes: ['NOT_AUTHORIZED'], offset: 31, is: 'asc_clock' },
  { status: 401, codes: ['NOT_AUTHORIZED'], offset: -300, is: 'asc_clock' },
  { status: 403, codes: ['FORBIDDEN_ERROR'], offset: 300, is: 'asc_role' },
  { status: 403, codes: ['FORBIDDEN'], is: 'asc_role' },
  { status: 403, codes: [AGREEMENT], is: 'asc_agreement' },
  { status: 403, codes: ['FORBIDDEN_ERROR', AGREEMENT], is: 'asc_agreement' },
  { status: 403, codes: ['NOT_AUTHORIZED', AGREEMENT], is: 'asc_agreement' },
  { status: 403, codes: ['UNHEARD_OF', 'FORBIDDEN_ERROR.MORE'], is: 'asc_role' },
  { status: 404, codes: ['NOT_FOUND'], is: 'asc_not_found' },
  { status: 404, codes: ['PATH_ERROR'], is: 'asc_not_found' },
  { status: 410, is: 'asc_not_found' },
  { status: 409, codes: ['ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE'], is: 'asc_conflict' },
  { status: 409, is: 'asc_conflict' },
  { status: 429, codes: ['RATE_LIMIT_EXCEEDED'], is: 'asc_rate' },
  { status: 400, codes: ['PARAMETER_ERROR.ILLEGAL'], is: 'asc_refused' },
  { status: 400, codes: ['ENTITY_INVALID'], is: 'asc_refused' },
  { status: 405, codes: ['METHOD_NOT_ALLOWED'], is: 'asc_refused' },
  { status: 406, body: 'Not Acceptable', is: 'asc_refused' },
  { status: 415, is: 'asc_refused' },
  { status: 422, codes: ['ENTITY_UNPROCESSABLE'], is: 'asc_refused' },
  { status: 302, is: 'asc_refused' },
  { status: 500, is: 'asc_outage' },
  { status: 503, body: '<html>down</html>', is: 'asc_outage' },
  { status: 418, codes: ['UNHEARD_OF'], is: 'asc_refused' },
  { status: 403, body: { errors: [] }, is: 'asc_role' },
  { status: 403, body: {}, is: 'asc_role' },
  { status: 403, body: { errors: [null, { code: 7 }, { code: AGREEMENT }] }, is: 'asc_agreement' },
  { status: 403, body: JSON.stringify(errorsOf(403, [AGREEMENT])), is: 'asc_agreement' },
  { status: 401, body: '<html>no</html>', is: 'asc_credentials' },
];

for (const { status, codes, body, offset, is } of cases) {
  const name = `${status} ${codes?.join('+') ?? JSON.stringify(body) ?? ''} ${offset ?? ''} is ${is}`;
  t.test(name, async (t) => {
    const answer = { status, headers: new Headers(), body: codes ? errorsOf(status, codes) : body };
    const error = classifyResponse('GET /v1/apps', answer, offset);
    t.equal(error.code, is);
    t.match(error.detail, `GET /v1/apps: App Store Connect answered ${status}`);
    for (const code of codes ?? []) t.match(error.detail, `${code} "Title of ${code}"`);
    t.ok(error.hint, 'has a hint');
    t.equal(error.retryAfterSeconds, undefined);
  });
}

t.test('an agreement is distinguished from a role by Apple’s text', async (t) => {
  const codeOf = (code: string | undefined, title: string, detail?: string) =>
    classifyResponse(
      'POST /v1/alternativeDistributionKeys',
      { status: 403, headers: new Headers(), body: { errors: [{ status: '403', code, title, detail }] } },
      undefined,
    ).code;
  for (const [detail, is] of [
    ['This request requires an in-effect agreement that has not been signed or has expired.', 'asc_agreement'],
    ['A required agreement is missing or has expired.', 'asc_agreement'],
    ['The Account Holder must accept the latest Apple Developer Program License Agreement.', 'asc_agreement'],
    ['You must agree to the Alternative Terms Addendum for Apps in the EU.', 'asc_agreement'],
    ['Updated terms are pending. Ask your Account Holder to review them.', 'asc_agreement'],
    ['Attachment 14 of the license agreement has not been accepted.', 'asc_agreement'],
    ['The paid applications contract is not in effect.', 'asc_agreement'],
    ['Unable to process request - PLA Update available', 'asc_agreement'],
    ["To resolve this issue, agree to the latest Program License Agreement in your team's account.", 'asc_agreement'],
    ['The latest terms and conditions need to be reviewed by the Account Holder.', 'asc_agreement'],
    ['The API key in use does not allow this request', 'asc_role'],
    ['The given operation is not allowed for your role.', 'asc_role'],
    ['You do not have permission to view agreements.', 'asc_role'],
    ['In terms of permissions, your access has expired.', 'asc_role'],
    ['The role Contract Manager is missing a permission.', 'asc_role'],
    ['You may not accept invitations; contact the Account Holder.', 'asc_role'],
    ['This account is not enabled for alternative distribution.', 'asc_role'],
  ] as const) {
    for (const code of ['FORBIDDEN', 'FORBIDDEN_ERROR', 'FORBIDDEN.SOMETHING_NEW', undefined])
      t.equal(codeOf(code, 'This request is forbidden for security reasons', detail), is, `${code}: ${detail}`);
    t.equal(codeOf('FORBIDDEN_ERROR', detail), is, `as a title: ${detail}`);
  }
  t.equal(codeOf('NOT_AUTHORIZED', 'A required agreement is missing.'), 'asc_credentials', 'only under FORBIDDEN');
});

t.test('an error document with as many entries as fit costs no time, and says no more', async (t) => {
  for (const entry of ['0', '{}', '{"code":1}', '{"code":"FORBIDDEN_ERROR","title":"no","detail":"no"}']) {
    const body = `{"errors":[${entry}${`,${entry}`.repeat(80_000)}]}`;
    const before = process.cpuUsage();
    const error = classifyResponse('GET /v1/apps', { status: 403, headers: new Headers(), body }, undefined);
    const { user, system } = process.cpuUsage(before);
    t.ok(user + system < 500_000, `${entry}: ${(user + system) / 1000} ms`);
    t.ok(error.message.length < 2000, entry);
  }
});

t.test('Retry-After in seconds, or as a date compared with the response’s own Date', async (t) => {
  const secondsOf = (headers: Record<string, string>) =>
    classifyResponse('GET /', { status: 429, headers: new Headers(headers), body: undefined }, undefined)
      .retryAfterSeconds;
  const date = 'Sat, 21 Nov 2026 10:00:00 GMT';
  t.equal(secondsOf({ 'retry-after': '17' }), 17);
  t.equal(secondsOf({ 'retry-after': 'Sat, 21 Nov 2026 10:00:42 GMT', date }), 42);
  t.equal(secondsOf({ 'retry-after': 'Sat, 21 Nov 2026 09:00:00 GMT', date }), 0);
  t.equal(secondsOf({ 'retry-after': 'soon', date }), undefined);
  t.equal(secondsOf({ 'retry-after': '-1', date }), undefined);
});

t.test('a server that echoes the request cannot put a JWT or a line break into our message', async (t) => {
  const title = `Refused:\r\nAuthorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln ${'x'.repeat(5_000)}`;
  const body = { errors: [{ code: 'FORBIDDEN_ERROR', title }] };
  const { message } = classifyResponse('GET /', { status: 403, headers: new Headers(), body }, undefined);
  t.notMatch(message, /eyJ|c2ln|[\r\n]/);
  t.ok(message.length < 1_000);
});
