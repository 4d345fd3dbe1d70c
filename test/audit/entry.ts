/** An event for tests of the audit log. */

import type { AuditEntry } from '../../src/audit/chain.ts';

/** A token with this nonce. */
export const tokenEntry = (nonce: string): AuditEntry => ({
  at: '2026-11-21T10:00:00.000Z',
  event: 'install_token_issued',
  nonce,
  keyId: '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11',
  app: 'com.example.trailmap',
  dtype: 'download',
  dtypeSource: 'none',
  subject: undefined,
  caller: 'page',
});
