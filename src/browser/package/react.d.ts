/** `<install-button>` in JSX of React 19: `import type {} from 'webdist-button/react'`. */

import type { DetailedHTMLProps, HTMLAttributes } from 'react';
import type { InstallButton, InstallButtonAttributes, InstallStateDetail, InstallTapDetail } from './install-button.js';

type Props = DetailedHTMLProps<HTMLAttributes<InstallButton>, InstallButton> &
  InstallButtonAttributes & {
    accessToken?: string | undefined;
    'oninstall-state'?: ((event: CustomEvent<InstallStateDetail>) => void) | undefined;
    'oninstall-tap'?: ((event: CustomEvent<InstallTapDetail>) => void) | undefined;
  };

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'install-button': Props;
    }
  }
}
