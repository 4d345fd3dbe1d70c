/** The steps from a page to an installed app, as the simulated iPhone tells them. */

import { readToken, tokenIn } from './claims.ts';

export type Check = { readonly name: string; readonly ok: boolean; readonly warning?: true; readonly detail: string };
export type Verdict = { readonly accepted: boolean; readonly checks: readonly Check[] };
/** How a tap reaches the device, other than as it should. */
export type Tap = { readonly installUrl: string; readonly pageUrl?: string; readonly ageSeconds?: number };

const linkChecks = /^(link-|token-present|package-|page-url|registered-domain)/;

type StepId = 'fetched' | 'tapped' | 'link' | 'token' | 'restore' | 'installed';
type Outcome = 'idle' | 'done' | 'failed' | 'skipped';

/** Shows how a step went; without a text what the page said of it at first. */
type Show = (step: StepId, outcome: Outcome, text?: string, checks?: readonly Check[]) => void;

/** Takes the page's list of steps, each with `data-step`; gives what tells the story in it. */
export function openJourney(list: HTMLElement) {
  const atFirst = new Map<string, string>();
  for (const item of list.querySelectorAll('li'))
    atFirst.set(item.dataset['step'] ?? '', item.querySelector('p')?.textContent ?? '');
  const show: Show = (step, outcome, text = atFirst.get(step) ?? '', checks = []) => {
    const item = list.querySelector<HTMLElement>(`[data-step=${step}]`);
    const title = item?.querySelector('h3');
    if (!item || !title) throw new Error(`The page has no step ${step}`);
    item.className = outcome;
    item.replaceChildren(title, Object.assign(document.createElement('p'), { textContent: text }));
    if (checks.length > 0) item.append(checkList(checks));
  };
  return {
    fetched(installUrl: string) {
      const { dtype } = readToken(tokenIn(installUrl)).payload;
      show(
        'fetched',
        'done',
        `At ${new Date().toLocaleTimeString()}, as a ${dtype}. The link is ready before the tap.`,
      );
    },
    notFetched(code: string | undefined) {
      if (code) show('fetched', 'idle', `Not now (${code}). The button tries again.`);
    },
    tap: (tap: Tap) => tell(tap, show),
  };
}

async function tell(tap: Tap, show: Show): Promise<void> {
  show('tapped', 'done', 'One navigation to marketplace-kit: in the main frame. Here it goes to the simulated iPhone.');
  for (const step of ['link', 'token', 'restore', 'installed'] as const) show(step, 'idle');
  const verdict = await ask(tap);
  const ofLink = verdict.checks.filter(({ name }) => linkChecks.test(name));
  const ofToken = verdict.checks.filter((check) => !ofLink.includes(check));
  const isLinkGood = ofLink.every(({ ok }) => ok);
  show('link', isLinkGood ? 'done' : 'failed', summary(ofLink), ofLink);
  show('token', ofToken.every(({ ok }) => ok) ? 'done' : 'failed', summary(ofToken), ofToken);
  if (!verdict.accepted) {
    show('restore', 'skipped', 'Does not happen.');
    show('installed', 'failed', 'Not installed. A real iPhone would not say why; webdist checks its tokens first.');
    return;
  }
  const restore = await ask({ token: await secondToken() });
  show(
    'restore',
    restore.accepted ? 'done' : 'failed',
    `A token of its own, with another nonce. ${summary(restore.checks)}`,
    restore.checks,
  );
  const after = restore.accepted
    ? 'Installed. For one lifetime of a token a further tap counts as the same install; after that the service says redownload.'
    : 'Not installed.';
  show('installed', restore.accepted ? 'done' : 'failed', after);
}

/** What the simulated device says of a tap, or of a token alone. */
export async function ask(body: Tap | { readonly token: string }): Promise<Verdict> {
  const answer = await fetch('/_sandbox/device', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (answer.ok) return answer.json();
  return { accepted: false, checks: [{ name: 'sandbox', ok: false, detail: `the sandbox answered ${answer.status}` }] };
}

/** The restore that follows a real install asks the website's server; the page asks in its place. */
async function secondToken(): Promise<string> {
  const answer = await fetch('/install-token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  return answer.ok ? (await answer.json()).token : '';
}

function summary(checks: readonly Check[]): string {
  const bad = checks.filter(({ ok }) => !ok);
  if (bad.length === 0) return checks.length === 0 ? 'Nothing to check.' : `All ${checks.length} checks pass.`;
  return `Refused: ${bad.map(({ detail }) => detail).join('; ')}.`;
}

function checkList(checks: readonly Check[]): HTMLElement {
  const details = document.createElement('details');
  details.open = checks.some(({ ok }) => !ok);
  details.append(Object.assign(document.createElement('summary'), { textContent: 'Every check' }));
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
