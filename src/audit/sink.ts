/** Where audit lines are written. */

import type { AuditLine } from './chain.ts';

export interface Sink {
  /** For logs; contains no credentials. */
  readonly name: string;
  /** Writes all lines in order. If it rejects, the same lines are written again later. */
  write(lines: readonly AuditLine[]): Promise<void>;
  /** Opens the file of this name again, after it was renamed. Does nothing elsewhere. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}
