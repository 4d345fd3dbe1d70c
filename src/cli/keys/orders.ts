/** `webdist keys stop` and `resume`: whether running services sign for an app. Changes nothing at Apple. */

import { giveOrder, type OrderOptions } from '../orders.ts';

export const stopKey = (options: OrderOptions): Promise<void> =>
  giveOrder(
    options,
    ({ appleItemId }) => ({ act: 'stop', appleItemId }),
    ({ bundleId }) => `Signing for ${bundleId} is stopped, until webdist keys resume.`,
  );

export const resumeKey = (options: OrderOptions): Promise<void> =>
  giveOrder(
    options,
    ({ appleItemId }) => ({ act: 'start', appleItemId }),
    ({ bundleId }) => `Signing for ${bundleId} is resumed.`,
  );
