import t from 'tap';
import { openEnv } from '../../src/secrets/env.ts';
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
        malformedLocator: () => openEnv('env://DISTRIBUTION-KEY', env),
      },
      secrets: [],
    };
  }),
);
