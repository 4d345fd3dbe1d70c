/** `<install-button>` in templates of Vue 3: `import type {} from 'webdist-button/vue'`. */

import type { DefineComponent, HTMLAttributes } from 'vue';
import type { InstallButtonAttributes, InstallStateDetail, InstallTapDetail } from './install-button.js';

type Props = InstallButtonAttributes &
  HTMLAttributes & {
    accessToken?: string | undefined;
    onInstallState?: ((event: CustomEvent<InstallStateDetail>) => void) | undefined;
    onInstallTap?: ((event: CustomEvent<InstallTapDetail>) => void) | undefined;
  };

declare module 'vue' {
  interface GlobalComponents {
    'install-button': DefineComponent<Props>;
  }
}
