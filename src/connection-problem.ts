/**
 * Says why a connection to a server failed or ended, in words that complete "PostgreSQL …" or "Redis …". The
 * messages of libraries' errors are not used, because they can contain an address with its password.
 */

/**
 * `what` completes a sentence whose subject is the server. `hint` is the next step. Neither contains a value of a
 * setting.
 */
export type ServerProblem = { readonly what: string; readonly hint?: string };

const TRUST_HINT = 'Set NODE_EXTRA_CA_CERTS to the file with the certificate of the authority that signed it.';
const unknownAuthority: ServerProblem = {
  what: 'has a certificate from an authority that this process does not know',
  hint: TRUST_HINT,
};
const wantsCertificate: ServerProblem = { what: 'requires a client certificate, and none was sent' };
const noTls: ServerProblem = { what: 'does not use TLS on this port' };

/** The problems by the `code` of Node's and OpenSSL's errors. */
const problems: Readonly<Record<string, ServerProblem>> = {
  ECONNREFUSED: { what: 'cannot be reached: nothing listens at its address (ECONNREFUSED)' },
  ENOTFOUND: { what: 'cannot be reached: DNS does not know its name (ENOTFOUND)' },
  EAI_AGAIN: { what: 'cannot be reached: DNS does not answer (EAI_AGAIN)' },
  EHOSTUNREACH: { what: 'cannot be reached: there is no route to it (EHOSTUNREACH)' },
  ENETUNREACH: { what: 'cannot be reached: there is no route to it (ENETUNREACH)' },
  ENOENT: { what: 'cannot be reached: its socket does not exist (ENOENT)' },
  EACCES: { what: 'cannot be reached: this process may not use its socket (EACCES)' },
  ETIMEDOUT: { what: 'cannot be reached: it does not answer in time (ETIMEDOUT)' },
  ECONNRESET: { what: 'closed the connection (ECONNRESET)' },
  EPIPE: { what: 'closed the connection (EPIPE)' },
  EMFILE: {
    what: 'cannot be reached: this process has no file descriptors left (EMFILE)',
    hint: 'Raise its limit of open files (ulimit -n, LimitNOFILE).',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownAuthority,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  CERT_HAS_EXPIRED: { what: 'has a certificate that has expired' },
  CERT_NOT_YET_VALID: { what: 'has a certificate that is not valid yet', hint: "Check this machine's clock." },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    what: 'has a certificate for a different name than the one in the URL',
    hint: 'Use the name that is in the certificate.',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: noTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls,
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: wantsCertificate,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: { what: 'refuses the TLS handshake' },
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: { what: 'supports no TLS version that this process accepts' },
};

/** How Node's clients report that a proxy answered with a status instead of a connection; SDKs add a prefix. */
const PROXY_STATUS =
  /\bProxy response \((\d{3})\)|\bFailed to establish tunnel .*HTTP\/1\.\d (\d{3})|^Proxy Authentication Required \((407)\)/;

/** The problem if the proxy that the environment names refused the connection; undefined for any other error. */
export function proxyProblem(error: unknown): ServerProblem | undefined {
  if (!(error instanceof Error)) return undefined;
  const [, ...found] = PROXY_STATUS.exec(error.message) ?? [];
  const status = found.find((one) => one !== undefined);
  if (status === undefined) return proxyProblem(error.cause);
  return status === '407'
    ? {
        what: 'cannot be reached: the proxy in HTTPS_PROXY or HTTP_PROXY requires a login (407)',
        hint: 'Put it into the URL of the proxy: http://USER:PASSWORD@HOST:PORT.',
      }
    : {
        what: `cannot be reached: the proxy in HTTPS_PROXY or HTTP_PROXY refuses (${status})`,
        hint: 'Allow the host in the proxy, or list it in NO_PROXY.',
      };
}

/** Returns the problem that caused a network or TLS error; undefined for any other error. */
export function connectionProblem(error: unknown): ServerProblem | undefined {
  const ofProxy = proxyProblem(error);
  if (ofProxy) return ofProxy;
  const { code } = (error ?? {}) as { code?: unknown };
  // If a host has several addresses, the error contains one error for each.
  const first = (error as { errors?: readonly unknown[] } | undefined)?.errors?.[0];
  if (typeof code === 'string' && Object.hasOwn(problems, code)) return problems[code];
  return first === undefined ? undefined : connectionProblem(first);
}
