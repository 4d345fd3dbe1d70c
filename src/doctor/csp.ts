/** Content Security Policy: whether a page may load a script from a URL, or send requests to it (W3C CSP Level 3 §6). */

type Directive = 'script-src' | 'connect-src';

/** The directives that apply if the first one is absent, in order. */
const fallbacks: Readonly<Record<Directive, readonly string[]>> = {
  'script-src': ['script-src-elem', 'script-src', 'default-src'],
  'connect-src': ['connect-src', 'default-src'],
};

/** The policies of a page: those of its headers, and those in its `<meta>` elements. */
export function policiesOf(header: string | readonly string[] | undefined, html: string): string[] {
  const inHeaders = [header ?? []].flat().flatMap((one) => one.split(','));
  const metas = html.match(/<meta\b[^>]*>/gi) ?? [];
  const inHtml = metas.flatMap((meta) =>
    /http-equiv=["']?content-security-policy["'\s>]/i.test(meta)
      ? (/content=(["'])([\s\S]*?)\1/i.exec(meta)?.[2] ?? [])
      : [],
  );
  return [...inHeaders, ...inHtml];
}

/**
 * Returns the directive that forbids the URL; undefined if every policy permits it. Nonces and hashes cannot be judged
 * from outside and count as permission.
 */
export function forbiddenBy(
  policies: readonly string[],
  directive: Directive,
  url: URL,
  pageUrl: URL,
): string | undefined {
  for (const policy of policies) {
    const directives = new Map(
      policy.split(';').map((text) => {
        const [name = '', ...sources] = text.trim().split(/\s+/);
        return [name.toLowerCase(), sources] as const;
      }),
    );
    const name = fallbacks[directive].find((one) => directives.has(one));
    if (name === undefined) continue;
    const isPermitted = (directives.get(name) ?? []).some((source) => permits(source, url, pageUrl));
    if (!isPermitted) return name;
  }
  return undefined;
}

function permits(source: string, url: URL, pageUrl: URL): boolean {
  if (source === '*' || /^'(nonce-|sha\d{3}-|strict-dynamic)/i.test(source)) return true;
  if (/^'self'$/i.test(source)) return url.origin === pageUrl.origin;
  if (/^[a-z][a-z0-9+.-]*:$/i.test(source)) return url.protocol === source.toLowerCase();
  const [, scheme, host = '', port, path = ''] =
    /^(?:([a-z][a-z0-9+.-]*):\/\/)?([^/:]+)(?::(\d+|\*))?(\/.*)?$/i.exec(source) ?? [];
  if (scheme !== undefined && url.protocol !== `${scheme.toLowerCase()}:`) return false;
  if (port !== undefined && port !== '*' && port !== (url.port || '443')) return false;
  if (port === undefined && url.port !== '') return false;
  const wanted = host.toLowerCase();
  const isHost = wanted.startsWith('*.') ? url.hostname.endsWith(wanted.slice(1)) : url.hostname === wanted;
  return isHost && (path.endsWith('/') ? url.pathname.startsWith(path) : path === '' || url.pathname === path);
}
