/** The options that a page sets on the button. Each is a property and an attribute. */

import type { Reason } from './install-button-support.ts';

/** Maps each attribute to its property. */
export const OPTIONS = {
  app: 'app',
  account: 'account',
  'subject-token': 'subjectToken',
  server: 'server',
  support: 'support',
};

/** Where there is no DOM, such as in server-side rendering, this is a class that is never used. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class Options extends Base {
  /** Bundle id or AppleItemID. */
  declare app: string | null;
  /** Opaque user id; goes into the install URL. */
  declare account: string | null;
  /** The page's own OAuth subject token; goes into the install URL. */
  declare subjectToken: string | null;
  /** Address of the service, including its path if it has one. */
  declare server: string | null;
  /** Overrides the button's own detection: `yes` if this visitor can install, else the reason why not. */
  declare support: 'yes' | Reason | null;
}

for (const [attribute, property] of Object.entries(OPTIONS))
  Object.defineProperty(Options.prototype, property, {
    get(this: Options) {
      return this.getAttribute(attribute);
    },
    set(this: Options, value: string | null | undefined) {
      if (value === null || value === undefined) this.removeAttribute(attribute);
      else this.setAttribute(attribute, value);
    },
  });

/**
 * Sets again each property that the page set before the class was defined, because such a property hides the accessor of
 * the same name.
 */
export function upgradeProperties(button: Options): void {
  for (const name of ['accessToken', ...Object.values(OPTIONS)] as 'app'[]) {
    const value = Object.getOwnPropertyDescriptor(button, name)?.value;
    if (value !== undefined && delete (button as Partial<Options>)[name]) button[name] = value;
  }
}
