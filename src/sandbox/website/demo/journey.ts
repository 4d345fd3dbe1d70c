/** Shows the steps from a page to an installed app, with the verdicts of the simulated device. */

import type { Verdict } from '../../device/judge.ts';
import { decodeToken, tokenIn } from './claims.ts';
import type { Phone } from './phone.ts';

type Checks = Verdict['checks'];

/** A variation of a tap for the device: from a different page, or with an older token. */
export type Tap = { readonly installUrl: string; readonly pageUrl?: string; readonly ageSeconds?: number };

/** Checks of the link; all others are of the token. */
const linkChecks = /^(link-|token-present|package-|page-url|registered-domain)/;

type StepId = 'fetched' | 'tapped' | 'link' | 'token' | 'restore' | 'installed';
type Outcome = 'idle' | 'done' | 'failed' | 'skipped';

/** Shows the outcome of a step. Without a text, shows the initial text of the page. */
type Show = (step: StepId, outcome: Outcome, text?: string, checks?: Checks) => void;

/** Takes the page's list of steps, each with `data-step`, and the phone. Returns the functions that update both. */
export function openJourney(list: HTMLElement, phone: Phone) {
  const initialTexts = new Map<string, string>();
  for (const item of list.querySelectorAll('li'))
    initialTexts.set(item.dataset['step'] ?? '', item.querySelector('p')?.textContent ?? '');
  const show: Show = (step, outcome, text = initialTexts.get(step) ?? '', checks = []) => {
    const item = list.querySelector<HTMLElement>(`[data-step=${step}]`);
    const title = item?.querySelector('h3');
    if (!item || !title) throw new Error(`The page has no step ${step}`);
    item.className = outcome;
    item.replaceChildren(title, Object.assign(document.createElement('p'), { textContent: text }));
    if (checks.length > 0) item.append(...checkLists(checks));
  };
  const reset = () => {
    phone.hide();
    for (const step of initialTexts.keys()) show(step as StepId, 'idle');
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
    /** What was shown about the previous tap is no longer valid. */
    showNotFetched(code: string) {
      reset();
      show('fetched', 'failed', `No token at the moment (${code}). The button retries.`);
    },
    reset,
    tap: (tap: Tap) => showTap(tap, show, phone),
  };
}

async function showTap(tap: Tap, show: Show, phone: Phone): Promise<void> {
  show('tapped', 'done', 'Handled by the simulated device instead of iOS.');
  for (const step of ['link', 'token', 'restore', 'installed'] as const) show(step, 'idle');
  const verdict = await judge(tap);
  const ofLink = verdict.checks.filter(({ name }) => linkChecks.test(name));
  const ofToken = verdict.checks.filter((check) => !ofLink.includes(check));
  show('link', outcomeOf(ofLink), summary(ofLink), ofLink);
  show('token', outcomeOf(ofToken), summary(ofToken), ofToken);
  if (!verdict.accepted) return refuse(verdict.checks, show, phone);
  if (!(await phone.show('sheet', 'The simulation confirms for you.'))) return;
  const restore = await judge({ token: await secondToken() });
  show(
    'restore',
    outcomeOf(restore.checks),
    `A second token, with its own nonce. ${summary(restore.checks)}`,
    restore.checks,
  );
  if (!restore.accepted) return refuse(restore.checks, show, phone);
  if (!(await phone.show('download', 'The iPhone fetches the package.'))) return;
  show('installed', 'done', 'Twenty minutes from now, the next token says redownload.');
  phone.show('installed', 'It is on the Home Screen.');
}

/** A real device does not say why. */
function refuse(checks: Checks, show: Show, phone: Phone): void {
  for (const step of ['restore', 'installed'] as const) show(step, 'skipped', 'Does not happen.');
  show('installed', 'failed', 'Nothing was installed. A real iPhone shows no reason.');
  phone.show('refused', `Refused: ${checks.find(({ ok }) => !ok)?.detail}.`);
}

const outcomeOf = (checks: Checks): Outcome => (checks.every(({ ok }) => ok) ? 'done' : 'failed');

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
  const refused = checks.filter(({ ok }) => !ok).length;
  if (checks.length === 0) return 'Nothing to check.';
  return refused === 0 ? `All ${checks.length} checks pass.` : `${refused} of ${checks.length} checks fail:`;
}

/** Shows the refused checks, and a collapsed list of all checks. */
function checkLists(checks: Checks): HTMLElement[] {
  const refused = checks.filter(({ ok }) => !ok);
  const details = document.createElement('details');
  details.append(Object.assign(document.createElement('summary'), { textContent: 'All checks' }), listOf(checks));
  return refused.length > 0 ? [listOf(refused), details] : [details];
}

function listOf(checks: Checks): HTMLElement {
  const list = document.createElement('ul');
  list.className = 'checks';
  for (const { name, ok, warning, detail } of checks) {
    const item = document.createElement('li');
    item.className = `check ${ok ? (warning ? 'warned' : 'passed') : 'refused'}`;
    item.append(Object.assign(document.createElement('code'), { textContent: name }), ` ${detail}`);
    list.append(item);
  }
  return list;
}
