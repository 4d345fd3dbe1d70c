/**
 * URLs of servers with a login in them, `redis://…` and `postgres://…`. Checked here, strictly, because the libraries
 * read a password with an unescaped character as part of the host or the path, or put it into an error message.
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
    // What looks like an option without a name is the rest of a password with a "?".
    query.split('&').every((option) => option === '' || /^[A-Za-z][\w.-]*=/.test(option))
  );
}

/** The message for a text that is not such a URL. It contains nothing of that text. */
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
