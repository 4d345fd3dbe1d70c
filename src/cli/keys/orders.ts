/** `webdist keys stop` and `resume`: whether running services sign for an app. Changes nothing at Apple. */

import { giveOrder, type OrderOptions } from '../orders.ts';

export const stopKey = (options: OrderOptions): Promise<void> =>
  giveOrder(options, ({ appleItemId, bundleId }) => ({
    order: { act: 'stop', appleItemId },
    change: { action: `stop signing for ${bundleId}`, effect: 'No device then gets a token.' },
    mayHarm: true,
    done: `Signing for ${bundleId} is stopped. To resume it, run webdist keys resume.`,
    already: `Signing for ${bundleId} was stopped already.`,
  }));

export const resumeKey = (options: OrderOptions): Promise<void> =>
  giveOrder(options, ({ appleItemId, bundleId }) => ({
    order: { act: 'start', appleItemId },
    change: { action: `resume signing for ${bundleId}` },
    mayHarm: false,
    done: `Signing for ${bundleId} is resumed.`,
    already: `Signing for ${bundleId} was not stopped.`,
  }));
