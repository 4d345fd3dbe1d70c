/** The attributes of `<install-button>`, as types for JSX, Vue and Svelte (docs/install-button.md). */

import type { Texts } from './install-button-english.ts';
import type { Reason } from './install-button-support.ts';

type TextAttributes = { readonly [Name in keyof Texts as `text-${Name}`]?: string | undefined };

export type InstallButtonAttributes = TextAttributes & {
  /** Bundle id or AppleItemID; not needed when the service has one app. */
  readonly app?: string | undefined;
  /** Opaque user id; goes into the install URL. */
  readonly account?: string | undefined;
  /** The page's own OAuth subject token; goes into the install URL. */
  readonly 'subject-token'?: string | undefined;
  /** Address of the service, including its path if it has one. */
  readonly server?: string | undefined;
  /** Overrides the button's own detection: `yes` if this visitor can install, else the reason why not. */
  readonly support?: 'yes' | Reason | undefined;
  /** Whether the button sets the attributes `state` and `code`. Do not use it with frameworks that hydrate. */
  readonly reflect?: boolean | '' | undefined;
  /** Share of visits that send reports, 0 to 1. */
  readonly 'report-share'?: string | number | undefined;
};
