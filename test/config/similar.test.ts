/** Suggestions for names that are misspelt. */

import t from 'tap';
import { readConfig } from '../../src/config/config.ts';
import { mostSimilar } from '../../src/config/similar.ts';

t.test('the setting that was probably meant', async (t) => {
  const suggested: Readonly<Record<string, string | undefined>> = {
    WEBDIST_REDIS_ULR: 'WEBDIST_REDIS_URL',
    WEBDIST_DOMIAN: 'WEBDIST_DOMAIN',
    WEBDIST_BUNDLEID: 'WEBDIST_BUNDLE_ID',
    WEBDIST_APPLE_ITEMID: 'WEBDIST_APPLE_ITEM_ID',
    WEBDIST_PACKAGE_URLS: 'WEBDIST_PACKAGE_URL',
    WEBDIST_LICENCE_DYNAMIC_URL: 'WEBDIST_LICENSE_DYNAMIC_URL',
    WEBDIST_LEDGER_SECRT_FILE: 'WEBDIST_LEDGER_SECRET_FILE',
    WEBDIST_SOMETHING_ELSE: undefined,
  };
  for (const [name, expected] of Object.entries(suggested)) {
    const error = t.throws(() => readConfig({ [name]: 'x', WEBDIST_MODE: 'sandbox' }), { code: 'config_invalid' });
    const [, meant] = /did you mean (\w+)\?/.exec(`${(error as unknown as Error)?.message}`) ?? [];
    t.equal(meant, expected, name);
  }
});

t.test('similar words', async (t) => {
  t.equal(mostSimilar('', ['a']), undefined);
  t.equal(mostSimilar('abcd', ['abdc', 'wxyz']), 'abdc', 'swapped letters are one change');
  t.equal(mostSimilar('abcd', ['wxyz']), undefined);
});
