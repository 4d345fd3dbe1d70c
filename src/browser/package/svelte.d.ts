/** `<install-button>` in Svelte 5: `import type {} from 'webdist-button/svelte'`. */

import type { HTMLAttributes } from 'svelte/elements';
import type { InstallButton, InstallButtonAttributes, InstallStateDetail, InstallTapDetail } from './install-button.js';

declare module 'svelte/elements' {
  interface SvelteHTMLElements {
    'install-button': HTMLAttributes<InstallButton> &
      InstallButtonAttributes & {
        accessToken?: string | undefined;
        'oninstall-state'?: ((event: CustomEvent<InstallStateDetail>) => void) | undefined;
        'oninstall-tap'?: ((event: CustomEvent<InstallTapDetail>) => void) | undefined;
      };
  }
}
