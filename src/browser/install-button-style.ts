/** The button's style, and the function that adds it to a shadow root. */

/**
 * The size is the same in every state, so that nothing on the page moves: link and retry share a cell, and `.space`
 * reserves room for every message of a supported browser. The transparent border becomes visible in forced colours.
 */
const css = `
:host { display: inline-grid; grid-template: auto auto / 100%; align-content: start; gap: .4em; inline-size: min(20em, 100%) }
:host, div * { vertical-align: top }
:host([hidden]) { display: none !important }
div { grid-area: 1 / 1; pointer-events: none }
[part=link], [part=retry] {
  display: inline-grid; place-content: center; box-sizing: border-box; padding: .6em 1.6em; border: 2px solid #0000; border-radius: 99em;
  min-inline-size: 9em; max-inline-size: 100%; min-block-size: 44px;
  font: inherit; font-weight: 600; text-align: center; pointer-events: auto; text-decoration: none; cursor: pointer;
  color: var(--install-button-color, #fff); background: var(--install-button-background, #0068d6)
}
[aria-disabled=true] { opacity: .6; cursor: default }
:focus-visible { outline: 3px solid; outline-offset: 2px }
[part=message], .space { grid-area: 2 / 1; margin: 0; min-block-size: 2.8em; line-height: 1.4; font-size: .875em }
.space { display: grid }
.space, [hidden] { visibility: hidden }
.space * { grid-area: 1 / 1 }
.alone { grid-row: 1 / 3; z-index: 1; align-self: center; min-block-size: 0 }
[part=message] a { color: inherit }
[part=qr] {
  display: inline-block; inline-size: 160px; block-size: 160px; padding: 12px; border-radius: 12px;
  background: #fff; color: #000; forced-color-adjust: none
}
[part=qr][hidden] { display: none }
`;

let sheet: CSSStyleSheet | undefined;

/** Styles a shadow root. Browsers before iOS 16.4 cannot construct style sheets, so they get a style element. */
export function addStyle(root: ShadowRoot): void {
  try {
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
    }
    root.adoptedStyleSheets = [sheet];
  } catch {
    const style = document.createElement('style');
    style.nonce = document.querySelector<HTMLElement>('[nonce]')?.nonce ?? '';
    style.textContent = css;
    root.append(style);
  }
}
