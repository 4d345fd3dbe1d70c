/** The contract of the registration store, for its backends and its users. */

import type { Notices } from './rotation/notice.ts';
import type { RegisteredKey } from './state.ts';
import type { Turns } from './turns.ts';

/** Registered keys by AppleItemID. */
export type RegisteredKeys = Readonly<Record<string, RegisteredKey>>;

/**
 * Keeps across restarts what App Store Connect last reported, so that a service can start and sign while Apple is down.
 * Also keeps the notice of a rotation, and whose turn it is to check. It contains public halves and ids, but no secret.
 */
export interface RegistrationStore extends Notices, Turns {
  /** Returns all stored keys. Keys of other services may be among them. Throws `state_invalid`. */
  load(): Promise<RegisteredKeys>;
  /** Replaces the keys of this service's apps. */
  save(keys: RegisteredKeys): Promise<void>;
  /**
   * Returns everything that App Store Connect has ever reported as registered: AppleItemIDs and domains. The list only
   * grows. An entry that is no longer registered was removed by a person, and is not registered again. Throws if the
   * list cannot be read, because nothing is known then.
   */
  everRegistered(): Promise<ReadonlySet<string>>;
  /** Adds AppleItemIDs and domains to that list. */
  addEverRegistered(names: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
