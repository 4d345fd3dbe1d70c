/** Chooses the language of the button: that of the page around it, else the browser's. */

import { english, type Texts } from './install-button-english.ts';

/** Returns the ISO 639 code of the nearest `lang`, which may be outside the shadow root that the button is in. */
export function languageOf(button: Element): string {
  let node: Node | null = button;
  while (node && !(node as HTMLElement).lang) node = node.parentNode ?? (node as ShadowRoot).host ?? null;
  return ((node as HTMLElement | null)?.lang || navigator.language).split('-')[0]?.toLowerCase() ?? 'en';
}

/** Returns English if there is no translation, or if the page forbids loading it. */
export const loadTexts = (language: string): Promise<Texts> =>
  import('./install-button-texts.ts').then(
    ({ texts }) => texts[language] ?? english,
    (failure) => {
      console.warn(failure);
      return english;
    },
  );
