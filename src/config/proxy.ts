/** The proxy for requests to other servers: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, as other programs read them. */

import { setGlobalProxyFromEnv } from 'node:http';
import { configInvalid } from './problems.ts';

const proxies = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const;
const THIS_MACHINE = 'localhost,127.0.0.1,::1,[::1]';

/**
 * Makes every request of this process use the proxy that the environment names, except those to this machine. The SDKs of
 * vendors read the environment themselves, so `NO_PROXY` is extended there. Throws `config_invalid`.
 */
export function useProxyOfEnvironment(env: NodeJS.ProcessEnv = process.env): void {
  const given = proxies.filter((name) => env[name]?.trim());
  if (given.length === 0) return;
  for (const name of given)
    if (!isProxyUrl(env[name] ?? ''))
      throw configInvalid([
        { variable: name, message: 'expected the URL of a proxy, such as http://user:password@proxy.example.com:3128' },
      ]);
  const noProxy = [env['no_proxy'] || env['NO_PROXY'], THIS_MACHINE].filter(Boolean).join(',');
  env['NO_PROXY'] = noProxy;
  env['no_proxy'] = noProxy;
  setGlobalProxyFromEnv(env);
}

const isProxyUrl = (text: string) => /^https?:\/\/\S+$/.test(text.trim()) && URL.canParse(text);
