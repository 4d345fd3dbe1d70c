/** The ways a cloud service fails in tests; each stand-in produces its vendor's own errors. */
export type Fault = 'denied' | 'throttled' | 'slow' | 'broken' | 'malformed' | 'dropped';

/** What a test can do with every stand-in. */
export interface Faulty {
  /** From now on every call to the service, except signing in, fails in this way; undefined ends it. */
  fault: Fault | undefined;
}

/** The seconds in the Retry-After of a throttling stand-in. */
export const RETRY_AFTER_SECONDS = 7;
