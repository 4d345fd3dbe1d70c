import t from 'tap';
import { openEnv } from '../../src/secrets/env.ts';
import { isSecretLocator, openSecret } from '../../src/secrets/secrets.ts';
import { secretsContract } from './contract.ts';

t.test('contract', (t) =>
  secretsContract(t, async () => {
    const env: Record<string, string> = { DISTRIBUTION_KEY: 'the text', EMPTY: '' };
    return {
      backend: 'env',
      named: /variable|env/,
      text: 'the text',
      change: (text) => {
        env['DISTRIBUTION_KEY'] = text;
      },
      open: () => openEnv('env://DISTRIBUTION_KEY', env),
      failures: {
        absent: () => openEnv('env://NONE', env),
        empty: () => openEnv('env://EMPTY', env),
        misspelt: () => openEnv('env://DISTRIBUTION-KEY', env),
      },
      secrets: [],
    };
  }),
);

t.test('the scheme chooses the backend', async (t) => {
  t.equal((await openSecret('env://A', { A: 'a' })).backend, 'env');
  await t.rejects(openSecret('keychain://a', {}), { code: 'config_invalid', message: /"keychain:"/ });
  await t.rejects(openSecret('/run/key.pem', {}), { code: 'config_invalid' });
  t.equal(isSecretLocator('env://A'), true);
  t.equal(isSecretLocator('hashivault://a'), false);
  t.equal(isSecretLocator('toString:'), false);
});
