/** The contract of the registration store, for its backends and its users. */

import type { Notices } from './rotation/notice.ts';
import type { RegisteredKey } from './state.ts';

/** Registered keys by AppleItemID. */
export type RegisteredKeys = Readonly<Record<string, RegisteredKey>>;

/**
 * What App Store Connect last reported, kept over restarts so that a service can start and sign while Apple is down, and
 * the notice of a rotation. It holds public halves and ids, no secret.
 */
export interface RegistrationStore extends Notices {
  /** All keys that are stored; other services' keys may be among them. Throws `state_invalid`. */
  load(): Promise<RegisteredKeys>;
  /** Replaces the keys of this service's apps. */
  save(keys: RegisteredKeys): Promise<void>;
  /**
   * What App Store Connect has ever reported as registered: AppleItemIDs and domains. It only grows: whatever of it is
   * missing was removed by a person, and is not registered again. Throws when it cannot be read: then nothing is known.
   */
  everRegistered(): Promise<ReadonlySet<string>>;
  /** Adds AppleItemIDs and domains to those. */
  addEverRegistered(names: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
