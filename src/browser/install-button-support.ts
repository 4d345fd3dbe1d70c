/** Whether this browser can install apps from a website (docs/apple-facts.md §2.3, §2.6). */

/** Why it cannot. `region` is never detected; only the page can set it. */
export type Reason = 'elsewhere' | 'outdated' | 'in-app' | 'frame' | 'region';

/** An iPad calls itself a Macintosh, and so does an iPhone that requests desktop sites. */
const isDesktopSite = () => navigator.maxTouchPoints > 1 && navigator.userAgent.includes('Macintosh');

/** Whether this is an iPhone or iPad. */
export const isApple = () => isDesktopSite() || /\((iPhone|iPad|iPod)/.test(navigator.userAgent);

/** Returns why this browser cannot install, or undefined if it can. */
export function unsupportedReason(): Reason | undefined {
  const { userAgent } = navigator;
  if (!isApple()) return 'elsewhere';
  const isPad = userAgent.includes('(iPad') || (isDesktopSite() && Math.min(screen.width, screen.height) > 600);
  // Browsers other than Safari send their own version when they request desktop sites. 99 stands for unknown.
  const [, major, minor] = (isDesktopSite() ? /\) Version\/(\d+)\.(\d+)/ : / OS (\d+)_(\d+)/).exec(userAgent) ?? [];
  const version = Number(major ?? 99) + Number(minor ?? 0) / 100;
  if (version < (isPad ? 18 : 17.05)) return 'outdated';
  if (!userAgent.includes('Safari/') || /FBA[NV]|Instagram|Line\/|GSA\/|Snapchat|Twitter|Pinterest/.test(userAgent))
    return 'in-app';
  return window.top === window ? undefined : 'frame';
}

/**
 * Returns the address of this page. On an iPhone or iPad, it opens Safari from inside another app (iOS 17 and later).
 */
export const safariUrl = () => (isApple() ? 'x-safari-' : '') + location.href;
