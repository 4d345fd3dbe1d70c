/**
 * The parts of issuing one token, each by itself in a tight loop. Inside a server they take two to three times as long.
 */

import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimsFor } from '../../src/install-token/claims.ts';
import { openNonces } from '../../src/install-token/nonce.ts';
import { signCompact, signingKey } from '../../src/jws.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { guard } from '../../src/signer/guarded.ts';
import { openLocalSigner } from '../../src/signer/local.ts';
import { entryOf, installOf, NOW, subjectOf } from '../ledger/contract.ts';
import { type Figure, figureOf } from './statistics.ts';

export type MicroRow = { readonly name: string; readonly microseconds: Figure };

const ENTRIES = 48;

/** One signature by the system's OpenSSL, if it is installed; it is a different build from Node's. */
function opensslMicroseconds(): number | undefined {
  const { stdout } = spawnSync('openssl', ['speed', '-seconds', '1', 'ecdsap256'], { encoding: 'utf8' });
  const perSecond = /nistp256\)\s+\S+\s+\S+\s+([\d.]+)/.exec(stdout ?? '')?.[1];
  return perSecond === undefined ? undefined : 1e6 / Number(perSecond);
}

/** CPU time of one call of each part. */
export async function benchMicro({ rounds, calls }: { rounds: number; calls: number }): Promise<MicroRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-bench-'));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { signer } = openLocalSigner(privateKey.export({ format: 'pem', type: 'pkcs8' }) as string, 'env');
  const input = {
    app: { appleItemId: '6500000001', bundleId: 'com.example.trailmap' },
    dtype: 'download',
    issuedAtSeconds: NOW,
    lifetimeSeconds: 1200,
    nonce: randomUUID().toUpperCase(),
  } as const;
  const [keyId, claims, data] = ['0f3c8a52-3a5e-4b0e-9d59', claimsFor(input), Buffer.from('x'.repeat(380))];
  const signature = await signer.sign(data);
  const guarded = guard({ ...signer, sign: async () => signature });
  const silent = signingKey({ backend: 'none', sign: () => new Uint8Array(64) }, keyId);
  const key = signingKey(signer, keyId);
  const [memory, sqlite] = [await openLedger('memory:'), await openLedger(`sqlite://${join(folder, 'ledger.sqlite')}`)];
  const nonces = openNonces(randomBytes(32), [input.app.appleItemId]);
  const record = { appleItemId: input.app.appleItemId, subject: subjectOf('one'), issuedAtSeconds: NOW };
  let subjects = 0;
  const entries = () => Array.from({ length: ENTRIES }, () => entryOf(subjects++));
  const parts: readonly { name: string; each?: number; work: () => unknown }[] = [
    { name: 'claims', work: () => claimsFor(input) },
    { name: 'nonce', work: () => nonces.seal(record) },
    { name: 'JWS without its signature', work: () => signCompact(silent, claims) },
    { name: 'signature', work: () => signer.sign(data) },
    { name: 'guard and check of a signature from elsewhere', work: () => guarded.sign(data) },
    { name: 'JWS', work: () => signCompact(key, claims) },
    { name: `lookup in memory, ${ENTRIES} a tick`, each: ENTRIES, work: () => memory.lookUp(entries()) },
    { name: `lookup in SQLite, ${ENTRIES} a tick`, each: ENTRIES, work: () => sqlite.lookUp(entries()) },
    { name: 'lookup in SQLite, alone', each: 1, work: () => sqlite.lookUp([entryOf(subjects++)]) },
    { name: 'evidence in SQLite, alone', each: 1, work: () => sqlite.addInstalls([installOf(subjects++)]) },
  ];
  const took = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++)
    for (const { name, each = 1, work } of parts) {
      const times = Math.ceil(calls / (/lookup|evidence/.test(name) ? ENTRIES : 1));
      const before = process.cpuUsage();
      for (let call = 0; call < times; call++) await work();
      const { user, system } = process.cpuUsage(before);
      // The first round only warms up.
      if (round > 0) took.set(name, [...(took.get(name) ?? []), (user + system) / times / each]);
    }
  await memory.close();
  await sqlite.close();
  rmSync(folder, { recursive: true, force: true });
  const alone = Array.from({ length: Math.ceil(rounds / 3) }, opensslMicroseconds).filter(
    (value) => value !== undefined,
  );
  if (alone.length > 0) took.set('openssl speed ecdsap256, signing', alone);
  return [...took].map(([name, values]) => ({ name, microseconds: figureOf(values) }));
}
