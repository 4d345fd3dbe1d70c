/**
 * Reports of a visit to `POST /button-errors`, loaded only for the sampled share of visits (docs/install-button.md,
 * "Reports"). A report contains the app and a few values from fixed lists, but nothing about the visitor.
 */

const STEPS = ['shown', 'ready', 'tapped'];

/**
 * Sends the new `notes` (steps and codes) when the page is hidden and after each tap: at most a few small requests per
 * visit. Each note is sent once.
 */
export function startReports(button: HTMLElement, notes: ReadonlySet<string>, send: (body: object) => void): void {
  const sent = new Set<string>();
  let isLeaving = false;
  const flush = () => {
    if (isLeaving) return;
    const fresh = [...notes].filter((note) => !sent.has(note));
    if (fresh.length === 0) return;
    for (const note of fresh) sent.add(note);
    send({
      app: button.getAttribute('app') ?? undefined,
      steps: fresh.filter((note) => STEPS.includes(note)),
      codes: fresh.filter((note) => !STEPS.includes(note)),
    });
  };
  button.addEventListener('install-tap', flush);
  addEventListener('pagehide', () => {
    flush();
    isLeaving = true;
  });
  // A request that is aborted because the page unloads is not a failure.
  addEventListener('pageshow', () => {
    if (isLeaving) for (const note of notes) sent.add(note);
    isLeaving = false;
  });
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && flush());
}
