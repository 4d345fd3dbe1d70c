import t from 'tap';
import { english } from '../../src/browser/install-button-english.ts';
import { texts } from '../../src/browser/install-button-texts.ts';

/** The official languages of the EU except English, which is part of the button. */
const languages = 'bg cs da de el es et fi fr ga hr hu it lt lv mt nl pl pt ro sk sl sv'.split(' ');

t.test('the button speaks every official language of the EU', async (t) => {
  t.strictSame(Object.keys(texts).sort(), languages.toSorted());
  const names = Object.keys(texts['de'] ?? {});
  t.strictSame(names, Object.keys(english));
  for (const [language, said] of Object.entries(texts)) {
    t.strictSame(Object.keys(said), names, `${language} says all of it`);
    t.ok(
      Object.values(said).every((text) => text.trim() === text && text.length > 3),
      `${language} is written out`,
    );
    t.match(said.outdated, /iOS 17\.5.*iPadOS 18/, `${language} names the versions`);
  }
  const install = new Set(Object.values(texts).map((said) => said.tapped));
  t.equal(install.size, languages.length, 'no language is a copy of another');
});
