/** The source of a secret, in any backend. `locators.ts` opens it. */

/** An opened secret. */
export interface SecretSource {
  /** The backend's name for logs, such as `file`. */
  readonly backend: string;
  /** Reads the current secret. Throws `key_absent`, `key_denied`, `key_unreachable` or `key_invalid`. */
  read(): Promise<string>;
  /**
   * Calls `changed` when the secret may have changed, if the backend can detect that. Returns a function that stops
   * this.
   */
  watch?(changed: () => void): () => void;
  /** Releases connections, sessions and timers. */
  close(): Promise<void>;
}
