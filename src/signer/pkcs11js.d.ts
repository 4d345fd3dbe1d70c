/**
 * The part of pkcs11js that webdist uses (https://github.com/PeculiarVentures/pkcs11js). The package is optional and
 * needs a compiler to install. With these types, webdist can be built and checked without it.
 */

declare module 'pkcs11js' {
  export type Handle = Buffer;
  export type Attribute = { type: number; value?: number | boolean | string | Buffer | Date };
  type AttributeResult = { type: number; value: Buffer };
  type TokenInfo = { label: string; manufacturerID: string; model: string; serialNumber: string; flags: number };
  type Mechanism = { mechanism: number };

  export class Pkcs11Error extends Error {
    readonly code: number;
    readonly method: string;
    constructor(message?: string, code?: number, method?: string);
  }

  export class PKCS11 {
    load(path: string): void;
    close(): void;
    C_Initialize(options?: { flags?: number }): void;
    C_Finalize(): void;
    C_GetSlotList(tokenPresent?: boolean): Handle[];
    C_GetTokenInfo(slot: Handle): TokenInfo;
    C_OpenSession(slot: Handle, flags: number): Handle;
    C_CloseSession(session: Handle): void;
    C_CloseAllSessions(slot: Handle): void;
    C_Login(session: Handle, userType: number, pin?: string): void;
    C_FindObjectsInit(session: Handle, template: Attribute[]): void;
    C_FindObjects(session: Handle, maxObjectCount: number): Handle[];
    C_FindObjectsFinal(session: Handle): void;
    C_GetAttributeValue(session: Handle, object: Handle, template: Attribute[]): AttributeResult[];
    C_GenerateKeyPair(
      session: Handle,
      mechanism: Mechanism,
      publicTemplate: Attribute[],
      privateTemplate: Attribute[],
    ): { privateKey: Handle; publicKey: Handle };
    C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
    C_Sign(session: Handle, inData: Buffer, outData: Buffer): Buffer;
    C_SignAsync(session: Handle, inData: Buffer, outData: Buffer): Promise<Buffer>;
  }

  export const CKA_ALWAYS_AUTHENTICATE: number;
  export const CKA_CLASS: number;
  export const CKA_EC_PARAMS: number;
  export const CKA_EC_POINT: number;
  export const CKA_EXTRACTABLE: number;
  export const CKA_ID: number;
  export const CKA_KEY_TYPE: number;
  export const CKA_LABEL: number;
  export const CKA_PRIVATE: number;
  export const CKA_SENSITIVE: number;
  export const CKA_SIGN: number;
  export const CKA_TOKEN: number;
  export const CKA_VALUE: number;
  export const CKA_VERIFY: number;
  export const CKF_OS_LOCKING_OK: number;
  export const CKF_RW_SESSION: number;
  export const CKF_SERIAL_SESSION: number;
  export const CKF_TOKEN_INITIALIZED: number;
  export const CKK_EC: number;
  export const CKM_ECDSA: number;
  export const CKM_EC_KEY_PAIR_GEN: number;
  export const CKO_CERTIFICATE: number;
  export const CKO_PRIVATE_KEY: number;
  export const CKO_PUBLIC_KEY: number;
  export const CKR_ARGUMENTS_BAD: number;
  export const CKR_CRYPTOKI_NOT_INITIALIZED: number;
  export const CKR_DEVICE_ERROR: number;
  export const CKR_DEVICE_REMOVED: number;
  export const CKR_FUNCTION_FAILED: number;
  export const CKR_GENERAL_ERROR: number;
  export const CKR_KEY_FUNCTION_NOT_PERMITTED: number;
  export const CKR_KEY_HANDLE_INVALID: number;
  export const CKR_KEY_TYPE_INCONSISTENT: number;
  export const CKR_MECHANISM_INVALID: number;
  export const CKR_OBJECT_HANDLE_INVALID: number;
  export const CKR_OPERATION_ACTIVE: number;
  export const CKR_PIN_EXPIRED: number;
  export const CKR_PIN_INCORRECT: number;
  export const CKR_PIN_LEN_RANGE: number;
  export const CKR_PIN_LOCKED: number;
  export const CKR_SESSION_CLOSED: number;
  export const CKR_SESSION_HANDLE_INVALID: number;
  export const CKR_TOKEN_NOT_PRESENT: number;
  export const CKR_USER_ALREADY_LOGGED_IN: number;
  export const CKR_USER_NOT_LOGGED_IN: number;
  export const CKU_CONTEXT_SPECIFIC: number;
  export const CKU_USER: number;
}
