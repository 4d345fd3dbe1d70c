/** Checks the header of an install verification token (docs/apple-facts.md §1.2); `signature.ts` checks `kid`. */

import { fail, type JsonObject, ok, quoted, type TokenCheck } from './checks.ts';

export function headerChecks({ alg, typ, kid: _, ...others }: JsonObject): TokenCheck[] {
  const extra = Object.keys(others);
  return [
    alg === 'ES256'
      ? ok('alg', 'ES256: ECDSA on P-256 with SHA-256')
      : fail(
          'alg',
          `${quoted(alg)}, expected "ES256"`,
          'the JWT library used its default algorithm, or the key is not on P-256',
        ),
    typ === 'JWT' ? ok('typ', 'JWT') : fail('typ', `${quoted(typ)}, expected "JWT"`),
    ...(extra.length === 0
      ? []
      : [
          fail(
            'header',
            `has ${extra.join(', ').slice(0, 200)} in addition to alg, kid and typ`,
            'the JWT library adds members; turn that off',
          ),
        ]),
  ];
}
