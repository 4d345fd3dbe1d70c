/** Where the `dtype` of a token came from, for the log and the audit log. */

import type { Install } from '../install-token/issue.ts';
import type { Subject } from './subject.ts';

/**
 * `cookie`: the ledger, for the device cookie that came back. `caller`: the ledger, for the subject that a server or an
 * access token named, or a `dtype` that the server sent. `none`: the device is not known, so the `dtype` is a guess.
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
  // In the request of a device, the `dtype` is from the rule for restores and updates.
  if (dtype !== undefined && caller !== 'device') return 'caller';
  return subject === undefined || isNewSubject ? 'none' : ofSubject[subject.kind];
}
