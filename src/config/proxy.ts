/** The proxy for requests to other servers: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, as other programs read them. */

import { setGlobalProxyFromEnv } from '../node-http.ts';
import { configInvalid } from './problems.ts';

const proxies = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const;
/**
 * This machine, and where clouds offer its credentials (AWS, Azure and Google instances, ECS tasks, EKS pods): no proxy
 * reaches those addresses.
 */
const DIRECT = 'localhost,127.0.0.1,::1,[::1],169.254.169.254,169.254.170.2,169.254.170.23,metadata.google.internal';

/**
 * Makes every request of this process use the proxy that the environment names, except those to this machine and its metadata service. The SDKs of
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
  const noProxy = [env['no_proxy'] || env['NO_PROXY'], DIRECT].filter(Boolean).join(',');
  env['NO_PROXY'] = noProxy;
  env['no_proxy'] = noProxy;
  setGlobalProxyFromEnv(env);
}

const isProxyUrl = (text: string) => /^https?:\/\/\S+$/.test(text.trim()) && URL.canParse(text);
