/** PKCS#11 URIs: the examples of RFC 7512 §3 that can name a private key, and what is refused. */

import t from 'tap';
import { parsePkcs11Uri } from '../../src/signer/pkcs11-uri.ts';

const none = {
  match: {},
  slotId: undefined,
  object: undefined,
  id: undefined,
  pinValue: undefined,
  pinSource: undefined,
  module: undefined,
};

const examples: Record<string, Partial<ReturnType<typeof parsePkcs11Uri>>> = {
  'pkcs11:': {},
  'pkcs11:object=my-key;type=private?pin-source=file:/etc/token': { object: 'my-key', pinSource: '/etc/token' },
  'pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin':
    {
      match: { token: 'The Software PKCS#11 Softtoken', manufacturer: 'Snake Oil, Inc.', model: '1.0', serial: '' },
      id: Buffer.from('69953e5cf4bdec91', 'hex'),
      pinSource: '/etc/token_pin',
    },
  'pkcs11:object=my-sign-key;type=private?module-name=mypkcs11': { object: 'my-sign-key', module: 'libmypkcs11.so' },
  'pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1': {
    object: 'my-sign-key',
    module: '/mnt/libmypkcs11.so.1',
  },
  'pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin': {
    match: { token: 'Software PKCS#11 softtoken', manufacturer: 'Snake Oil, Inc.' },
    pinValue: 'the-pin',
  },
  'pkcs11:token=My%20token%25%20created%20by%20Joe;id=%01%02%03%Ba%dd%Ca%fe%04%05%06': {
    match: { token: 'My token% created by Joe' },
    id: Buffer.from('010203baddcafe040506', 'hex'),
  },
  'pkcs11:token=A%20name%20with%20a%20substring%20%25%3B': { match: { token: 'A name with a substring %;' } },
  'pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1': {
    match: { token: 'Name with a small A with acute: á' },
  },
  'pkcs11:slot-id=327;object=a?pin-source=/run/pin&module-path=/l.so': {
    slotId: 327,
    object: 'a',
    pinSource: '/run/pin',
    module: '/l.so',
  },
  'pkcs11:object=a?pin-source=file:///run/a%20pin': { object: 'a', pinSource: '/run/a pin' },
};

for (const [uri, expected] of Object.entries(examples))
  t.test(uri, async (t) => t.same(parsePkcs11Uri(uri), { ...none, ...expected }));

const refused: Record<string, RegExp> = {
  'pkcs12:object=a': /begins with pkcs11:/,
  'pkcs11:object=a#b': /no "#"/,
  'pkcs11:object=my-pubkey;type=public': /type=private/,
  'pkcs11:object=my-certificate;type=cert': /type=private/,
  'pkcs11:object=a;object=b': /"object" once/,
  'pkcs11:objekt=a': /not "objekt"/,
  'pkcs11:object=a?pin=1234': /not "pin"/,
  'pkcs11:object': /name=value/,
  'pkcs11:object=a b': /percent-encoded/,
  'pkcs11:object=%zz': /percent-encoded/,
  'pkcs11:slot-id=one': /decimal number/,
  'pkcs11:object=a?pin-value=1&pin-source=/b': /not both/,
  'pkcs11:object=a?pin-source=|/bin/true': /pin-source=\/path/,
  'pkcs11:object=a?pin-source=http://a/pin': /pin-source=\/path/,
  'pkcs11:object=a?module-name=../lib': /name without a path/,
};

for (const [uri, message] of Object.entries(refused))
  t.test(`refused: ${uri}`, async (t) => t.throws(() => parsePkcs11Uri(uri), { code: 'config_invalid', message }));

t.test('no message shows a PIN', async (t) => {
  for (const uri of ['pkcs11:?pin-value=98 76', 'pkcs11:?pin-value=9876&pin-value=9876', 'pkcs11:?pin-source=9876'])
    t.throws(() => parsePkcs11Uri(uri), { message: /^(?!.*98)/ });
});
