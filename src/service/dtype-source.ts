/** Where the `dtype` of a token came from, for the log and the audit log. */

import type { Install } from '../install-token/issue.ts';
import type { Subject } from './subject.ts';

/**
 * `cookie`: the ledger decided, for the device of the request's cookie. `caller`: the ledger decided, for the subject
 * that a server or an access token named; or the server sent the `dtype`. `none`: the device is not known, so the `dtype`
 * is a guess.
 */
export type DtypeSource = 'cookie' | 'caller' | 'none';

const ofSubject = { device: 'cookie', caller: 'caller' } as const;

/**
 * Returns the source of the `dtype` of a request's token; `caller` as in the audit log (`page`, `device`, `command` or
 * `server:…`).
 */
export function dtypeSourceOf(
  subject: Subject | undefined,
  caller: string,
  { isNewSubject, dtype }: Pick<Install, 'isNewSubject' | 'dtype'>,
): DtypeSource {
  // For the request of a device, the rule for restores and updates decides.
  if (dtype !== undefined && caller !== 'device') return 'caller';
  return subject === undefined || isNewSubject ? 'none' : ofSubject[subject.kind];
}
