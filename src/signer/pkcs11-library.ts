/**
 * The PKCS#11 libraries of this process. Each is loaded and initialised once, however many signers use it, and is
 * finalised when the last of them closes. It is also finalised and initialised again after its HSM was unreachable,
 * because many libraries cannot find an HSM again otherwise.
 */

import type * as sdk from 'pkcs11js';
import { loadSdk } from '../cloud/sdk.ts';
import { vendorError } from '../cloud/vendor-error.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { refusedPins } from './pkcs11-pins.ts';
import { codeOf, PinRefused } from './pkcs11-refusal.ts';

export interface Library {
  readonly js: typeof sdk;
  /** Initialises the library again if a reload could not. Throws `key_unreachable`. */
  readonly cryptoki: sdk.PKCS11;
  /** Grows with each reload: handles of an earlier generation are invalid, or belong to something else. */
  readonly generation: number;
  /**
   * Logs a session in, unless it is already logged in. A refused PIN is not tried again, because tokens lock after a
   * few attempts.
   */
  logIn(session: sdk.Handle, tokenSerial: string, pin: string, userType?: number): void;
  /** Runs an asynchronous call, during which the library is not reloaded: finalising it then would crash. */
  during<T>(call: () => Promise<T>): Promise<T>;
  /**
   * Registers a test of a signer; returns a function that removes it. While any test succeeds, the HSM is reachable, so
   * the library is not reloaded.
   */
  addProbe(works: () => boolean): () => void;
  /** Finalises the library and initialises it again; false if it is in use. Throws `key_unreachable`. */
  reload(): boolean;
  /** Releases the library. The last release finalises it. Opening it later initialises it again. */
  release(): void;
}

type Loaded = {
  cryptoki: sdk.PKCS11 | undefined;
  generation: number;
  users: number;
  calls: number;
  probes: Set<() => boolean>;
};

const loaded = new Map<string, Loaded>();

/**
 * Opens the library with this path or file name. Throws `config_invalid` when it or the package cannot be loaded, and
 * `key_unreachable` when it cannot be initialised.
 */
export async function openLibrary(path: string, env: Environment): Promise<Library> {
  const js = (await loadSdk('pkcs11js', 'A locator pkcs11:', () => import('pkcs11js'))).default;
  const entry = loaded.get(path) ?? { cryptoki: undefined, generation: 0, users: 0, calls: 0, probes: new Set() };
  entry.cryptoki ??= initialise(js, path);
  entry.users++;
  loaded.set(path, entry);
  const library: Library = {
    js,
    get cryptoki() {
      entry.cryptoki ??= initialise(js, path);
      return entry.cryptoki;
    },
    get generation() {
      return entry.generation;
    },
    logIn(session, tokenSerial, pin, userType = js.CKU_USER) {
      const pins = refusedPins(env);
      if (pins.has(tokenSerial, pin)) throw new PinRefused(pins.file);
      try {
        library.cryptoki.C_Login(session, userType, pin);
      } catch (error) {
        const code = codeOf(error);
        if (code === js.CKR_USER_ALREADY_LOGGED_IN) return;
        if (code === js.CKR_PIN_INCORRECT) pins.add(tokenSerial, pin);
        throw error;
      }
    },
    async during(call) {
      entry.calls++;
      try {
        return await call();
      } finally {
        entry.calls--;
      }
    },
    addProbe(works) {
      entry.probes.add(works);
      return () => entry.probes.delete(works);
    },
    reload() {
      if (entry.calls > 0 || [...entry.probes].some((works) => works())) return false;
      finalise(js, entry);
      entry.generation++;
      entry.cryptoki = initialise(js, path);
      return true;
    },
    release() {
      if (--entry.users > 0) return;
      loaded.delete(path);
      finalise(js, entry);
    },
  };
  return library;
}

function initialise(js: typeof sdk, path: string): sdk.PKCS11 {
  const cryptoki = new js.PKCS11();
  try {
    cryptoki.load(path);
  } catch (cause) {
    throw new WebdistError('config_invalid', `The PKCS#11 library ${path} cannot be loaded.`, {
      hint: 'Check module-path in the locator, and that the library is built for this system.',
      cause: vendorError(cause),
    });
  }
  try {
    // Signing runs in libuv's threads, several calls at a time.
    cryptoki.C_Initialize({ flags: js.CKF_OS_LOCKING_OK });
  } catch (cause) {
    cryptoki.close();
    if (codeOf(cause) === js.CKR_ARGUMENTS_BAD)
      throw new WebdistError('config_invalid', `The PKCS#11 library ${path} needs arguments to be initialised.`, {
        hint: 'Modules such as the softoken of NSS are not supported; use SoftHSM, or the library of the HSM.',
        cause: vendorError(cause),
      });
    throw new WebdistError('key_unreachable', `The PKCS#11 library ${path} cannot be initialised.`, {
      hint: 'Check the HSM, its connection and the configuration of the library.',
      cause: vendorError(cause),
    });
  }
  return cryptoki;
}

function finalise(js: typeof sdk, entry: Loaded): void {
  const { cryptoki } = entry;
  entry.cryptoki = undefined;
  try {
    cryptoki?.C_Finalize();
  } catch (error) {
    // A library that has lost its HSM may fail here, because nothing is left to finalise.
    if (!(error instanceof js.Pkcs11Error)) throw error;
  }
  cryptoki?.close();
}
