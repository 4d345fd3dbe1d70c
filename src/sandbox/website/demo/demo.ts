/** The demo page's script: listens to the install button, hands a tap to the simulated iPhone, and works the switches. */

import { purposes, readToken, shown, tokenIn } from './claims.ts';
import { ask, openJourney, type Tap } from './journey.ts';

const find = <T extends HTMLElement>(id: string, type: new () => T): T => {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`The page has no ${type.name} #${id}`);
  return element;
};

type InstallButton = HTMLElement & { readonly installUrl: string | undefined; refresh(): void };
const button = find('install', HTMLElement) as InstallButton;
const said = find('said', HTMLElement);
const journey = openJourney(find('journey', HTMLElement));
let tokenTimes = { iat: 0, exp: 0 };

button.addEventListener('install-state', () => look());
look();

/** Shows what is in the button's link now. */
function look(): void {
  const { installUrl } = button;
  find('link', HTMLElement).textContent = installUrl ?? 'There is no link right now.';
  if (installUrl) {
    journey.fetched(installUrl);
    showClaims(installUrl);
  } else journey.notFetched(button.getAttribute('code') || undefined);
}

function showClaims(installUrl: string): void {
  const { header, payload } = readToken(tokenIn(installUrl));
  tokenTimes = { iat: Number(payload['iat']), exp: Number(payload['exp']) };
  const rows = Object.entries({ ...header, ...payload }).map(([name, value]) => {
    const row = document.createElement('tr');
    const title = Object.assign(document.createElement('th'), { scope: 'row' });
    title.append(Object.assign(document.createElement('code'), { textContent: name }));
    const cells = [shown(name, value), purposes[name] ?? ''].map((text) =>
      Object.assign(document.createElement('td'), { textContent: text }),
    );
    row.append(title, ...cells);
    return row;
  });
  find('claims', HTMLElement).replaceChildren(...rows);
  showValidity();
}

function showValidity(): void {
  const { iat, exp } = tokenTimes;
  if (exp === 0) return;
  const left = Math.max(0, Math.round(exp - Date.now() / 1000));
  find('validity-left', HTMLMeterElement).value = left / (exp - iat);
  find('validity-text', HTMLElement).textContent =
    `Good for another ${Math.floor(left / 60)} min ${left % 60} s; the button renews it long before.`;
}
setInterval(showValidity, 1000);

// On an iPhone the browser follows the link. Here nobody would take it, so the page gives it to the simulated one.
addEventListener(
  'click',
  (event) => {
    const link = event.composedPath().find((target) => target instanceof HTMLAnchorElement);
    if (!link?.href.startsWith('marketplace-kit:')) return;
    event.preventDefault();
    void tapped(link.href);
  },
  { capture: true },
);

let usedUrl: string | undefined;

async function tapped(installUrl: string): Promise<void> {
  const scenario = document.querySelector<HTMLInputElement>('input[name=scenario]:checked')?.value ?? 'usual';
  if (scenario === 'twice' && !usedUrl) await ask({ installUrl });
  await journey.tap(tapOf(scenario, installUrl));
  usedUrl = installUrl;
}

function tapOf(scenario: string, installUrl: string): Tap {
  if (scenario === 'late') return { installUrl, ageSeconds: 7200 };
  if (scenario === 'twice') return { installUrl: usedUrl ?? installUrl };
  if (scenario === 'elsewhere') return { installUrl, pageUrl: 'https://copycat.example/' };
  return { installUrl: scenario === 'changed' ? changed(installUrl) : installUrl };
}

/** The link with another `dtype` under the same signature. */
function changed(installUrl: string): string {
  const [header, payload = '', signature] = tokenIn(installUrl).split('.');
  const json = atob(payload.replaceAll('-', '+').replaceAll('_', '/'));
  const other = json.includes('"redownload"')
    ? json.replace('"redownload"', '"download"')
    : json.replace('"download"', '"redownload"');
  const encoded = btoa(other).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  return installUrl.replace(tokenIn(installUrl), `${header}.${encoded}.${signature}`);
}

find('other-device', HTMLButtonElement).addEventListener('click', async () => {
  await fetch('/_sandbox/device', { method: 'DELETE' });
  usedUrl = undefined;
  said.textContent = 'This is another iPhone now: the service has not seen it, and it has no app.';
  button.refresh();
});

find('too-often', HTMLButtonElement).addEventListener('click', async () => {
  said.textContent = 'Asking…';
  const ask = () =>
    fetch('/install-token', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  const answers = await Promise.all(Array.from({ length: 70 }, ask));
  const refused = answers.filter(({ status }) => status === 429);
  const wait = refused[0]?.headers.get('retry-after');
  said.textContent = wait
    ? `${refused.length} of 70 refused; come back in ${wait} s. The button waits.`
    : 'None refused.';
  button.refresh();
});

const appleDown = find('apple-down', HTMLInputElement);
appleDown.addEventListener('change', async () => {
  await fetch('/_sandbox/faults', {
    method: appleDown.checked ? 'POST' : 'DELETE',
    ...(appleDown.checked && { headers: { 'content-type': 'application/json' }, body: '{"status":503}' }),
  });
  await showReadiness();
  button.refresh();
});

/** A fault outlives a reload of the page, and the service looks at Apple only now and then. */
async function showReadiness(): Promise<void> {
  const [health, faults] = await Promise.all([fetch('/health/ready'), fetch('/_sandbox/faults').then((a) => a.json())]);
  appleDown.checked = faults.length > 0;
  const place = find('readiness', HTMLElement);
  place.textContent = health.ok ? 'webdist is ready to sign' : 'webdist cannot sign right now';
  place.dataset['ready'] = String(health.ok);
}
void showReadiness();
