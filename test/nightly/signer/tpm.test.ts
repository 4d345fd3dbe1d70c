/** PKCS#11 with a TPM 2.0: the contract of every signer. */

import t from 'tap';
import { openPkcs11 } from '../../../src/signer/pkcs11.ts';
import { setUpTpm, withoutTpm } from '../../harness/stand-ins/tpm.ts';
import { signerContract } from '../../signer/contract.ts';

t.test('a TPM', { skip: withoutTpm }, async (t) => {
  const tpm = await setUpTpm(t);
  tpm.addKey('ecc256', 'good');
  tpm.addKey('ecc384', 'p384');
  tpm.addKey('rsa2048', 'rsa');
  const open = (path: string, pin = tpm.pin) =>
    openPkcs11(`pkcs11:${path}?module-path=${tpm.library}&pin-value=${pin}`, {});

  await signerContract(t, async () => ({
    backend: 'pkcs11',
    named: /PKCS#11/,
    open: () => open('token=shop;object=good'),
    refusals: {
      absent: () => open('token=shop;object=none'),
      unreachable: () => open('token=elsewhere;object=good'),
      wrongCurve: () => open('token=shop;object=p384'),
      malformed: () => open('token=shop;object=rsa'),
      malformedLocator: () => open('token=shop;objekt=good'),
      denied: () => open('token=shop;object=good', '99887766'),
    },
    secrets: [tpm.pin],
  }));
});
