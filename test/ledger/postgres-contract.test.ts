import t from 'tap';
import { noPgBouncer, noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { ledgerContract } from './contract.ts';

await t.test('postgres', { skip: noPostgres }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  await ledgerContract(test as typeof t, () => server.freshUrl());
});

await t.test('postgres behind PgBouncer in transaction mode', { skip: noPgBouncer }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  const pgBouncer = await server.openPgBouncer();
  test.teardown(() => pgBouncer.close());
  await ledgerContract(test as typeof t, async () => pgBouncer.through(await server.freshUrl()));
});
