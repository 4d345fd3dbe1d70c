/**
 * The lines of the audit log. Each is JSON, has its number in the chain of its process, and contains the SHA-256 of the line
 * before it. A changed, removed or inserted line breaks the chain.
 */

import { createHash, randomUUID } from 'node:crypto';

/** One event, without tokens and secrets. `at` is the time of the event, ISO 8601. */
export type AuditEntry = { readonly at: string } & (
  | {
      readonly event: 'install_token_issued';
      readonly nonce: string;
      readonly keyId: string;
      /** The bundle id. */
      readonly app: string;
      readonly dtype: string;
      /** `cookie`, `caller` or `none`. */
      readonly dtypeSource: string;
      /** A keyed hash. */
      readonly subject: string | undefined;
      /** `page`, `device`, `command`, or `server:` and the name of its API key. */
      readonly caller: string;
    }
  | { readonly event: 'credential_refused'; readonly address: string; readonly route: string | undefined }
  | { readonly event: 'orders_followed'; readonly revision: number; readonly apps: object }
  | { readonly event: 'api_keys_changed'; readonly names: readonly string[] }
  | { readonly event: 'apps_changed'; readonly added: readonly string[]; readonly removed: readonly string[] }
  | {
      readonly event: 'command';
      /** What the command was about to do, such as "stop signing for com.example.camping". */
      readonly action: string;
      /** The user of the operating system, and the host name. */
      readonly user: string;
      readonly host: string;
    }
);

/** One line of the audit log, without its line break. */
export type AuditLine = {
  readonly text: string;
  readonly event: AuditEntry['event'];
  readonly at: string;
  /** The SHA-256 of `text`, which the next line contains. */
  readonly hash: string;
};

/** The first line of a chain contains this instead of the hash of a preceding line. */
export const CHAIN_START = '0'.repeat(64);

/** Returns the hash of a line without its line break. */
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The format of a line, in its member `format`. */
export const AUDIT_FORMAT = 1;

/** Starts a chain; returns the function that makes its next line. */
export function openChain(chain: string = randomUUID()): (entry: AuditEntry) => AuditLine {
  let seq = 0;
  let prev = CHAIN_START;
  return (entry) => {
    seq += 1;
    const text = JSON.stringify({ chain, seq, prev, format: AUDIT_FORMAT, ...entry });
    prev = hashOf(text);
    return { text, event: entry.event, at: entry.at, hash: prev };
  };
}
