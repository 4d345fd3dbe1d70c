/** The source of a `dtype`, for every kind of request. */

import t from 'tap';
import { type DtypeSource, dtypeSourceOf } from '../../src/service/dtype-source.ts';
import type { IssueRequest } from '../../src/service/issuing.ts';

const cookie = { kind: 'device', id: 'a' } as const;
const named = { kind: 'caller', id: 'a' } as const;

const requests: [string, Pick<IssueRequest, 'caller' | 'subject' | 'isNewSubject' | 'dtype'>, DtypeSource][] = [
  ['a page with the cookie that it got before', { caller: 'page', subject: cookie, isNewSubject: false }, 'cookie'],
  ['a page without a cookie', { caller: 'page', subject: cookie, isNewSubject: true }, 'none'],
  ['a server that names a subject', { caller: 'server:shop', subject: named }, 'caller'],
  ['a server that names none', { caller: 'server:shop' }, 'none'],
  ['a server that sends the dtype', { caller: 'server:shop', dtype: 'redownload' }, 'caller'],
  ['a server that sends both', { caller: 'server:shop', subject: named, dtype: 'download' }, 'caller'],
  ['the command line, with a dtype', { caller: 'command', dtype: 'download' }, 'caller'],
  ['a device with the subject of its link', { caller: 'device', subject: cookie }, 'cookie'],
  ['a device with the subject of a server', { caller: 'device', subject: named }, 'caller'],
  ['the update of a known device', { caller: 'device', subject: cookie, dtype: 'redownload' }, 'cookie'],
  ['a restore without a subject', { caller: 'device', dtype: 'redownload' }, 'none'],
];

for (const [name, request, expected] of requests)
  t.equal(dtypeSourceOf(request.subject, request.caller, request), expected, name);
