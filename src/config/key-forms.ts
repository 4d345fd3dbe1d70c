/** Forms of the settings that name a private key or hold one. No message holds a value. */

import { z } from 'zod';
import { isLocator, LOCATOR_FORMS } from '../locators.ts';

/** One or more key locators, separated by white space (docs/keys/README.md). */
export const locators = z
  .string()
  .refine((text) => !/,(?:[a-z0-9+]+:\/\/|pkcs11:)/.test(text), 'separate several locators with spaces, not commas')
  .transform((text) => text.split(/\s+/))
  .pipe(
    z.array(
      z
        .string()
        .refine(
          isLocator,
          `expected a locator: ${LOCATOR_FORMS} (put a PEM into a file or another variable, and name it with file:///path or env://NAME)`,
        ),
    ),
  )
  .refine((all) => new Set(all).size === all.length, 'the same locator is given twice')
  .meta({ pattern: '^[a-z0-9+]+:' });

/** Whether a text may be a private key: PEM, JWK, or base64 of a key, possibly in quotes. Opening it checks the rest. */
export const isKeyText = (text: string): boolean =>
  /-----BEGIN|^["']?\{|^["']?[A-Za-z0-9+/=_\s-]{32,}["']?$/.test(text);

/** A locator of a private key, or the text of the key. */
export const locatorOrKey = z
  .string()
  .refine(
    (text) => isLocator(text) || isKeyText(text),
    'expected a locator, such as file:///path, or the PEM itself; for the path of a file, use ASC_PRIVATE_KEY_PATH',
  );
