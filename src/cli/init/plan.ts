/** The contents of what `webdist init` writes, independent of the format. */

/** The settings whose value is the locator of a private key. */
export type KeySetting = 'WEBDIST_KEY' | 'ASC_PRIVATE_KEY';

/** The file of each key in the folder `secrets`. */
export const KEY_FILES: Readonly<Record<KeySetting, string>> = {
  WEBDIST_KEY: 'distribution-key.pem',
  ASC_PRIVATE_KEY: 'app-store-connect.p8',
};

export type Plan = {
  /** Absolute path of the folder to write to. */
  readonly folder: string;
  /** By name. The locators of the keys in `pems` are not among them, because each format has its own. */
  readonly settings: Readonly<Record<string, string>>;
  /** The private keys that are written to the folder `secrets`, as PKCS#8 PEM. */
  readonly pems: Readonly<Partial<Record<KeySetting, string>>>;
  /** The user and group that the files belong to. */
  readonly owner: { readonly uid: number; readonly gid: number };
};
