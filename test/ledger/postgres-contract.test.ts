import t from 'tap';
import { noPgBouncer, noPostgres, openPgBouncer, sharedPostgres } from '../harness/postgres.ts';
import { ledgerContract } from './contract.ts';

await t.test('postgres', { skip: noPostgres }, async (test) => {
  const { freshUrl } = await sharedPostgres();
  await ledgerContract(test as typeof t, freshUrl);
});

await t.test('postgres behind PgBouncer in transaction mode', { skip: noPgBouncer }, async (test) => {
  const { freshUrl } = await sharedPostgres();
  const pgBouncer = await openPgBouncer(await freshUrl());
  test.teardown(() => pgBouncer.close());
  await ledgerContract(test as typeof t, async () => pgBouncer.through(await freshUrl()));
});
