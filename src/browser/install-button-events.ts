/** The events of `<install-button>`. Both bubble and cross shadow roots. */

export type InstallState = 'loading' | 'ready' | 'unsupported' | 'error' | 'limited';

/**
 * Detail of the event `install-state`: `code` says why there is no link, and `help` is the URL of the page that
 * explains it, on the service (`/problems/CODE`).
 */
export type InstallStateDetail = Readonly<{
  state: InstallState;
  code: string | undefined;
  installUrl: string | undefined;
  help: string | undefined;
}>;

/** Detail of the event `install-tap`. */
export type InstallTapDetail = Readonly<{ nonce: string; installUrl: string }>;

declare global {
  interface HTMLElementEventMap {
    'install-state': CustomEvent<InstallStateDetail>;
    'install-tap': CustomEvent<InstallTapDetail>;
  }
}
