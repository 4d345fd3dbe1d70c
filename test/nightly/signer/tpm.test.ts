/** PKCS#11 with a TPM 2.0: the contract of every signer. */

import t from 'tap';
import { setUpTpm, withoutTpm } from '../../harness/stand-ins/tpm.ts';
import { signerContract } from '../../signer/contract.ts';
import { openOn, pkcs11Subject } from '../../signer/pkcs11-subject.ts';

t.test('a TPM', { skip: withoutTpm }, async (t) => {
  const tpm = await setUpTpm(t);
  tpm.addKey('ecc256', 'good');
  tpm.addKey('ecc384', 'p384');
  tpm.addKey('rsa2048', 'rsa');
  const denied = () => openOn(tpm)('token=shop;object=good', 'pin-value=99887766');
  await signerContract(t, async () => pkcs11Subject(tpm, 'rsa', { denied }));
});
