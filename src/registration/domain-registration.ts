/** The state of the website's domain, which only its owner changes. */

import type { Logger } from 'pino';
import { type DomainEvent, type DomainState, initialDomainState, nextDomain } from './state.ts';

export interface DomainRegistration {
  readonly state: DomainState;
}

/** The same for its owner, the only code that may change the state. */
export interface OwnedDomainRegistration extends DomainRegistration {
  /** Applies an event to the state, and logs the change for the operator. */
  apply(event: DomainEvent): void;
}

/** Opens a domain about whose registration nothing is known yet. */
export function ownDomainRegistration(domain: string, log: Logger): OwnedDomainRegistration {
  let state = initialDomainState(domain);
  return {
    get state() {
      return state;
    },
    apply(event) {
      state = nextDomain(state, event);
      if (event.type === 'confirmed' && event.created)
        log.info(
          { event: 'domain_registered', domain: event.registeredDomain },
          'registered the domain with App Store Connect',
        );
    },
  };
}
