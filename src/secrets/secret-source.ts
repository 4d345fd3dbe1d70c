/** Where a secret comes from, whatever its backend (`locators.ts` opens one). */

/** An opened secret. */
export interface SecretSource {
  /** The backend's name for logs, such as `file`. */
  readonly backend: string;
  /** Reads the secret as it is now. Throws `key_absent`, `key_denied`, `key_unreachable` or `key_invalid`. */
  read(): Promise<string>;
  /** Calls `changed` when the secret may have changed, where the backend can notice; returns a function that stops it. */
  watch?(changed: () => void): () => void;
  /** Releases connections, sessions and timers. */
  close(): Promise<void>;
}
