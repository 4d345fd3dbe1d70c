/** The events that the registration reports, so that metrics and traces are added from outside. */

import type { AppStoreConnect } from '../app-store-connect/client.ts';
import type { RequestAttempt } from '../app-store-connect/http.ts';
import type { AppRegistration } from './app-registration.ts';
import type { DomainState } from './state.ts';

export interface RegistrationObserver {
  /** Runs one check of all apps and the domain, for example in a span. */
  check(work: () => Promise<void>): Promise<void>;
  /** Called after each check (including those of other replicas) and after each rotation. */
  changed(apps: readonly AppRegistration[], domain: DomainState, clockOffsetSeconds: number | undefined): void;
  /** Called after each attempt of a request to App Store Connect. */
  attempted(attempt: RequestAttempt, asc: Pick<AppStoreConnect, 'clockOffsetSeconds' | 'rateLimit'>): void;
}
