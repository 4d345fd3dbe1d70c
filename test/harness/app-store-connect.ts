/** The one way in which tests open a client of App Store Connect, simulated by the sandbox or by a stand-in. */

import { pino } from 'pino';
import type { Test } from 'tap';
import {
  type AppStoreConnect,
  type AppStoreConnectOptions,
  openAppStoreConnect,
} from '../../src/app-store-connect/client.ts';
import { openLocalSigner } from '../../src/signer/local.ts';

/** Where a simulated account is, and its team API key. */
export type AppleAccount = Pick<AppStoreConnectOptions, 'baseUrl' | 'keyId' | 'issuerId' | 'signer'>;

/** The account that a sandbox simulates. */
export const accountOf = (sandbox: {
  readonly baseUrl: string;
  readonly settings: Readonly<Record<string, string>>;
}): AppleAccount => {
  const { ASC_PRIVATE_KEY_B64 = '', ASC_KEY_ID = '', ASC_ISSUER_ID } = sandbox.settings;
  return {
    baseUrl: sandbox.baseUrl,
    keyId: ASC_KEY_ID,
    issuerId: ASC_ISSUER_ID,
    signer: openLocalSigner(ASC_PRIVATE_KEY_B64, 'test').signer,
  };
};

/** A client that is closed with the test; it logs nothing and hardly pauses between attempts unless told otherwise. */
export function openClient(
  t: Test,
  account: AppleAccount,
  options: Partial<AppStoreConnectOptions> = {},
): AppStoreConnect {
  const { retryPolicy, ...others } = options;
  const log = pino({ level: 'silent' });
  const asc = openAppStoreConnect({ log, ...account, ...others, retryPolicy: { backoffMs: 1, ...retryPolicy } });
  t.teardown(() => asc.close());
  return asc;
}
