/**
 * URLs of servers with a login in them, `redis://…` and `postgres://…`. They are checked strictly here. With an
 * unescaped character in a password, the libraries would read part of it as the host or the path, or quote it in an
 * error message.
 */

// The userinfo ends at the first "@" (RFC 3986 §3.2); libpq accepts several hosts, separated by commas.
const parts = /^[a-z]+:\/\/(?:([^@/?#\s]*)@)?([^@/?#\s]*)(?:\/([^@/?#\s]*))?(?:\?([^#\s]*))?$/;

const oneHost = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.%-]*)(?::\d{1,5})?$/;

/**
 * Whether a URL has the form `scheme://[user[:password]@]host[:port][,host[:port]…][/name][?option=value&…]` and every
 * part of it can be percent-decoded.
 */
export function isConnectionUrl(text: string): boolean {
  const [whole, userInfo = '', hosts = '', name = '', query = ''] = parts.exec(text) ?? [];
  return (
    whole !== undefined &&
    [userInfo, hosts, name, query].every(isDecodable) &&
    userInfo.split(':').length <= 2 &&
    hosts.split(',').every((host) => oneHost.test(host)) &&
    // A part that looks like an option without a name is the rest of a password that contains "?".
    query.split('&').every((option) => option === '' || /^[A-Za-z][\w.-]*=/.test(option))
  );
}

/** The message for a text that is not such a URL. It contains no part of the text. */
export const ESCAPING_HINT =
  'the URL cannot be parsed; percent-encode every character of the user and the password that is not a letter or a digit (@ is %40, / is %2F, : is %3A, # is %23, ? is %3F, % is %25)';

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
