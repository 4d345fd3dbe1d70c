/** The events of `<install-button>`; both bubble, also out of a shadow root. */

export type InstallState = 'loading' | 'ready' | 'unsupported' | 'error' | 'limited';

/** Detail of the event `install-state`: `code` says why there is no link, `help` is the page about it. */
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
