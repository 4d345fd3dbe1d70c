/** Shows the steps from a page to an installed app, with the verdicts of the simulated device. */

import type { Verdict } from '../../device/judge.ts';
import { decodeToken, tokenIn } from './claims.ts';

type Checks = Verdict['checks'];

/** A variation of a tap for the device: from a different page, or with an older token. */
export type Tap = { readonly installUrl: string; readonly pageUrl?: string; readonly ageSeconds?: number };

const linkChecks = /^(link-|token-present|package-|page-url|registered-domain)/;

type StepId = 'fetched' | 'tapped' | 'link' | 'token' | 'restore' | 'installed';
type Outcome = 'idle' | 'done' | 'failed' | 'skipped';

/** Shows the outcome of a step. Without a text, shows the initial text of the page. */
type Show = (step: StepId, outcome: Outcome, text?: string, checks?: Checks) => void;

/** Takes the page's list of steps, each with `data-step`. Returns the functions that update it. */
export function openJourney(list: HTMLElement) {
  const initialTexts = new Map<string, string>();
  for (const item of list.querySelectorAll('li'))
    initialTexts.set(item.dataset['step'] ?? '', item.querySelector('p')?.textContent ?? '');
  const show: Show = (step, outcome, text = initialTexts.get(step) ?? '', checks = []) => {
    const item = list.querySelector<HTMLElement>(`[data-step=${step}]`);
    const title = item?.querySelector('h3');
    if (!item || !title) throw new Error(`The page has no step ${step}`);
    item.className = outcome;
    item.replaceChildren(title, Object.assign(document.createElement('p'), { textContent: text }));
    if (checks.length > 0) item.append(checkList(checks));
  };
  return {
    showFetched(installUrl: string) {
      const { dtype } = decodeToken(tokenIn(installUrl)).payload;
      show(
        'fetched',
        'done',
        `At ${new Date().toLocaleTimeString()}, with dtype ${dtype}. The link is ready before the tap.`,
      );
    },
    showNotFetched(code: string | undefined) {
      if (code) show('fetched', 'idle', `Not now (${code}). The button retries.`);
    },
    tap: (tap: Tap) => showTap(tap, show),
  };
}

async function showTap(tap: Tap, show: Show): Promise<void> {
  show(
    'tapped',
    'done',
    'Handles a navigation to marketplace-kit: in the main frame. Here it is passed to the simulated device.',
  );
  for (const step of ['link', 'token', 'restore', 'installed'] as const) show(step, 'idle');
  const verdict = await judge(tap);
  const ofLink = verdict.checks.filter(({ name }) => linkChecks.test(name));
  const ofToken = verdict.checks.filter((check) => !ofLink.includes(check));
  const isLinkGood = ofLink.every(({ ok }) => ok);
  show('link', isLinkGood ? 'done' : 'failed', summary(ofLink), ofLink);
  show('token', ofToken.every(({ ok }) => ok) ? 'done' : 'failed', summary(ofToken), ofToken);
  if (!verdict.accepted) {
    show('restore', 'skipped', 'Does not happen.');
    show('installed', 'failed', 'Not installed. A real iPhone would not show a reason.');
    return;
  }
  const restore = await judge({ token: await secondToken() });
  show(
    'restore',
    restore.accepted ? 'done' : 'failed',
    `A second token, with its own nonce. ${summary(restore.checks)}`,
    restore.checks,
  );
  const after = restore.accepted
    ? 'Installed. Within one token lifetime, another tap counts as the same install; after that, dtype is redownload.'
    : 'Not installed.';
  show('installed', restore.accepted ? 'done' : 'failed', after);
}

/** The simulated device's verdict on a tap, or on a token alone. */
export async function judge(body: Tap | { readonly token: string }): Promise<Verdict> {
  const answer = await fetch('/_sandbox/device', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.ok) return answer.json();
  return {
    accepted: false,
    checks: [{ name: 'sandbox', line: 0, ok: false, detail: `the sandbox answered ${answer.status}` }],
  };
}

/** After a real install, the device requests a restore from the website's server; here the page does so. */
async function secondToken(): Promise<string> {
  const answer = await fetch('/install-token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  return answer.ok ? (await answer.json()).token : '';
}

function summary(checks: Checks): string {
  const bad = checks.filter(({ ok }) => !ok);
  if (bad.length === 0) return checks.length === 0 ? 'Nothing to check.' : `All ${checks.length} checks pass.`;
  return `Refused: ${bad.map(({ detail }) => detail).join('; ')}.`;
}

function checkList(checks: Checks): HTMLElement {
  const details = document.createElement('details');
  details.open = checks.some(({ ok }) => !ok);
  details.append(Object.assign(document.createElement('summary'), { textContent: 'All checks' }));
  const list = document.createElement('ul');
  list.className = 'checks';
  for (const { name, ok, warning, detail } of checks) {
    const item = document.createElement('li');
    item.className = `check ${ok ? (warning ? 'warned' : 'passed') : 'refused'}`;
    item.append(Object.assign(document.createElement('code'), { textContent: name }), ` ${detail}`);
    list.append(item);
  }
  details.append(list);
  return details;
}
