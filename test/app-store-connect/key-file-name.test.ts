/** The file names of keys that Apple issued, and similar ones. */

import t from 'tap';
import { appleKeyFile } from '../../src/app-store-connect/key-file-name.ts';

const table: [locator: string, expected: ReturnType<typeof appleKeyFile>][] = [
  [
    'file:///run/secrets/AuthKey_2X9R4HXF34.p8',
    { name: 'AuthKey_2X9R4HXF34.p8', kind: 'AuthKey', keyId: '2X9R4HXF34' },
  ],
  ['file:///ApiKey_ABC123.p8', { name: 'ApiKey_ABC123.p8', kind: 'ApiKey', keyId: 'ABC123' }],
  ['file:///a/SubscriptionKey_A1.p8', { name: 'SubscriptionKey_A1.p8', kind: 'SubscriptionKey', keyId: 'A1' }],
  ['file:///with%20space/AuthKey_A1.p8', { name: 'AuthKey_A1.p8', kind: 'AuthKey', keyId: 'A1' }],
  ['file:///AuthKey_A1.p8/camping.pem', undefined],
  ['file:///camping.pem', undefined],
  ['file:///AuthKey_A1.pem', undefined],
  ['file:///MyAuthKey_A1.p8', undefined],
  ['env://AuthKey_A1.p8', undefined],
  ['file:///%zz', undefined],
  ['', undefined],
];

for (const [locator, expected] of table) t.strictSame(appleKeyFile(locator), expected, locator);
