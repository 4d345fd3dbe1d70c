/** The script of the demo page: follows the install button, passes a tap to the simulated device, and handles the controls. */

import { decodeToken, displayed, purposes, tokenIn } from './claims.ts';
import { judge, openJourney, type Tap } from './journey.ts';
import { openPhone } from './phone.ts';

const find = <T extends HTMLElement>(id: string, type: new () => T): T => {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`The page has no ${type.name} #${id}`);
  return element;
};

type InstallButton = HTMLElement & { readonly installUrl: string | undefined; refresh(): void };
const button = find('install', HTMLElement) as InstallButton;
const notice = find('notice', HTMLElement);
const phone = openPhone(find('stage', HTMLElement));
const journey = openJourney(find('journey', HTMLElement), phone);
let tokenTimes = { iat: 0, exp: 0 };

button.addEventListener('install-state', () => showLink());
showLink();

/** Shows the button's current link. */
function showLink(): void {
  const { installUrl } = button;
  const code = button.getAttribute('code');
  find('link', HTMLElement).textContent = installUrl ?? 'There is no link at the moment.';
  if (installUrl) {
    journey.showFetched(installUrl);
    showClaims(installUrl);
  } else if (code) journey.showNotFetched(code);
}

function showClaims(installUrl: string): void {
  const { header, payload } = decodeToken(tokenIn(installUrl));
  tokenTimes = { iat: Number(payload['iat']), exp: Number(payload['exp']) };
  const rows = Object.entries({ ...header, ...payload }).map(([name, value]) => {
    const row = document.createElement('tr');
    const title = Object.assign(document.createElement('th'), { scope: 'row' });
    title.append(Object.assign(document.createElement('code'), { textContent: name }));
    const cells = [displayed(name, value), purposes[name] ?? ''].map((text) =>
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
  find('validity-text', HTMLElement).textContent = `Valid for ${Math.floor(left / 60)} min ${left % 60} s`;
}
setInterval(showValidity, 1000);

// On a real device the browser follows the link. Here nothing would handle it, so the page passes it to the simulated device.
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
find('scenario', HTMLElement).addEventListener('change', phone.hide);

async function tapped(installUrl: string): Promise<void> {
  const scenario = document.querySelector<HTMLInputElement>('input[name=scenario]:checked')?.value ?? 'usual';
  if (scenario === 'twice' && !usedUrl) await judge({ installUrl });
  await journey.tap(tapOf(scenario, installUrl));
  usedUrl = installUrl;
}

function tapOf(scenario: string, installUrl: string): Tap {
  if (scenario === 'late') return { installUrl, ageSeconds: 7200 };
  if (scenario === 'twice') return { installUrl: usedUrl ?? installUrl };
  if (scenario === 'elsewhere') return { installUrl, pageUrl: 'https://copycat.example/' };
  return { installUrl: scenario === 'changed' ? changed(installUrl) : installUrl };
}

/** Returns the link with a different `dtype` and the same signature. */
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
  journey.reset();
  notice.textContent = 'This is now another iPhone: it has no cookie and no apps, so its first token is a download.';
  button.refresh();
});

find('too-often', HTMLButtonElement).addEventListener('click', async () => {
  notice.textContent = 'Sending…';
  const request = () =>
    fetch('/install-token', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  const answers = await Promise.all(Array.from({ length: 70 }, request));
  const refused = answers.filter(({ status }) => status === 429);
  const wait = refused[0]?.headers.get('retry-after');
  notice.textContent = wait
    ? `${refused.length} of 70 refused; retry in ${wait} s. The button waits.`
    : 'None refused.';
  button.refresh();
});

const appleDown = find('apple-down', HTMLInputElement);
appleDown.addEventListener('change', () =>
  whileDisabled(async () => {
    await fetch('/_sandbox/faults', {
      method: appleDown.checked ? 'POST' : 'DELETE',
      ...(appleDown.checked && { headers: { 'content-type': 'application/json' }, body: '{"status":503}' }),
    });
    await showReadiness();
    button.refresh();
  }),
);

/** Otherwise, an earlier response of the server would undo a click. */
async function whileDisabled(work: () => Promise<void>): Promise<void> {
  appleDown.disabled = true;
  try {
    await work();
  } finally {
    appleDown.disabled = false;
  }
}

/** Read from the server, because a fault persists when the page is reloaded. */
async function showReadiness(): Promise<void> {
  const faults = await (await fetch('/_sandbox/faults')).json();
  appleDown.checked = faults.length > 0;
  // Behind a proxy, visitors may have no access to health.
  if (!document.querySelector('a[href="/health/ready"]')) return;
  const health = await fetch('/health/ready');
  const place = find('readiness', HTMLElement);
  place.textContent = health.ok ? 'webdist is ready to sign' : 'webdist cannot sign at the moment';
  place.dataset['ready'] = String(health.ok);
}
void whileDisabled(showReadiness);
