/** The ways a cloud service fails in tests; each stand-in answers them in its vendor's own words. */
export type Fault = 'denied' | 'throttled' | 'slow' | 'broken' | 'malformed' | 'dropped';

/** What every stand-in lets a test do. */
export interface Faulty {
  /** From now on every call to the service (not: signing in) fails so; undefined ends it. */
  fault: Fault | undefined;
}

/** Seconds that a throttling stand-in asks for in its answer. */
export const RETRY_AFTER_SECONDS = 7;
