/** A row of the table of installs, which has the same columns in every database. */

import type { InstallRecord } from './contract.ts';

export const installOf = (row: Readonly<Record<string, unknown>>): InstallRecord => ({
  subject: Number(row['subject']),
  appleItemId: String(row['apple_item_id']),
  installedAtSeconds: Number(row['installed_at']),
  redownloadAtSeconds: Number(row['redownload_at']),
});
