/** Which version is newer, and which one a device gets (docs/apple-facts.md §3.2, §3.3). */

import t from 'tap';
import { chooseRestore, chooseUpdate } from '../../src/marketplace-kit/choose.ts';
import { isInStage } from '../../src/marketplace-kit/rollout.ts';
import { compareDotted, compareVersions } from '../../src/packages/versions.ts';

const version = (appleVersionId: string, shortVersionString: string, bundleVersion = '1', ios = '17.5') => ({
  appleVersionId,
  shortVersionString,
  bundleVersion,
  platforms: ['ios'],
  minimumSystemVersions: { ios },
  packageUrl: `https://example.com/adp/${appleVersionId}`,
});
const versions = [
  version('300', '1.10.0'),
  version('100', '1.2.0'),
  version('200', '1.9.0'),
  version('400', '2.0', '1', '26.0'),
];
const choice = {
  versions,
  rules: {},
  who: 'device a',
  device: { platform: 'iOS', osVersion: '18.5' },
  requested: '100',
};
const idOf = (chosen: object | undefined) => (chosen && 'version' in chosen ? chosen.version : chosen);

t.test('versions are compared number by number', async (t) => {
  t.ok(compareDotted('1.9', '1.10') < 0);
  t.equal(compareDotted('1.0', '1'), 0);
  t.ok(compareDotted('17.5.1', '17.5') > 0);
  t.ok(
    compareVersions(
      { shortVersionString: '1.0', bundleVersion: '9' },
      { shortVersionString: '1.0', bundleVersion: '10' },
    ) < 0,
  );
  t.ok(compareVersions({ appleVersionId: '18446744073709551615' }, { appleVersionId: '18446744073709551614' }) > 0);
});

t.test('restore: the requested version, else the newest that runs', async (t) => {
  t.match(idOf(chooseRestore(choice)), { appleVersionId: '100' });
  t.match(idOf(chooseRestore({ ...choice, requested: '50' })), { appleVersionId: '300' }, '2.0 needs a later system');
  t.match(idOf(chooseRestore({ ...choice, rules: { '100': { hold: true } } })), { appleVersionId: '300' });
  const failing = { ...choice, heldRestore: 'fail', rules: { '100': { hold: true }, '300': { hold: true } } } as const;
  t.match(chooseRestore(failing), { reason: 'This version is on hold.' });
  t.match(chooseRestore({ ...failing, requested: '777', rules: { '777': { hold: true } } }), { reason: /on hold/ });
  t.match(
    idOf(chooseRestore({ ...failing, requested: '200' })),
    { appleVersionId: '200' },
    'only versions on hold fail',
  );
  t.match(
    idOf(chooseRestore({ ...failing, requested: '50' })),
    { appleVersionId: '200' },
    'nor a version that is gone',
  );
  t.match(chooseRestore({ ...choice, device: { platform: 'iOS', osVersion: '16.0' } }), { reason: /runs on iOS 16.0/ });
  t.match(chooseRestore({ ...choice, versions: [] }), { reason: /no package/ });
});

t.test('update: newer, runs on the device, not held, in its stage', async (t) => {
  t.match(chooseUpdate(choice), { appleVersionId: '300' });
  t.match(chooseUpdate({ ...choice, rules: { '300': { hold: true } } }), { appleVersionId: '200' });
  t.match(chooseUpdate({ ...choice, rules: { '300': { percent: 0 } } }), { appleVersionId: '200' });
  t.equal(chooseUpdate({ ...choice, requested: '300' }), undefined);
  t.equal(chooseUpdate({ ...choice, requested: '999' }), undefined, 'newer than all, and not known here');
});

t.test('raising a percentage only adds devices', async (t) => {
  const among = (percent: number) =>
    new Set(
      Array.from({ length: 500 }, (_, index) => `device ${index}`).filter((who) =>
        isInStage({ '1': { percent } }, '1', who),
      ),
    );
  const [tenth, half, all] = [among(10), among(50), among(100)];
  t.ok(tenth.size > 20 && tenth.size < 90, `${tenth.size} of 500`);
  t.ok([...tenth].every((who) => half.has(who)));
  t.equal(all.size, 500);
  t.equal(among(0).size, 0);
});
