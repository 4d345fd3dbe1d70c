import { readFileSync } from 'node:fs';
import t from 'tap';
import { type DidNotStart, didNotStart, helpFor } from '../../src/install-token/did-not-start.ts';

const root = new URL('../..', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

const section = ({ id, cause, hint }: DidNotStart) => `### ${id}\n\n${cause}\n\n**Fix:** ${hint}\n`;

t.test('the page has the entries of the table, in its order', async (t) => {
  const page = read('docs/install-did-not-start.md');
  const positions = didNotStart.map((entry) => page.indexOf(section(entry)));
  for (const [index, { id }] of didNotStart.entries()) t.ok((positions[index] ?? -1) > 0, id);
  t.strictSame(
    positions,
    positions.toSorted((a, b) => a - b),
  );
  t.equal(page.match(/^### /gm)?.length, didNotStart.length, 'and nothing else');
  t.equal(new Set(didNotStart.map(({ id }) => helpFor(id))).size, didNotStart.length, 'every anchor is its own');
});

t.test('every code the button can have is in the table', async (t) => {
  const known = didNotStart.filter(({ reportedBy }) => reportedBy === 'button').map(({ id }) => id);
  const reasons =
    /type Reason = ([^;]+);/.exec(read('src/browser/install-button-support.ts'))?.[1]?.match(/[\w-]+/g) ?? [];
  const link = read('src/browser/install-button-link.ts');
  const own = [...link.matchAll(/#fail\(\d+, '(\w+)'/g)].map(([, code]) => code ?? '');
  t.strictSame([reasons.length, own.length], [5, 2]);
  // What `POST /install-token` can return to a page (docs/http-api.md), from the table of codes.
  const server = [...read('src/errors.ts').matchAll(/^ {2}(\w+): \{ status: (\d+)/gm)]
    .map(([, code = '', status = '']) => ({ code, status: Number(status) }))
    .slice(
      0,
      read('src/errors.ts')
        .split('// Reported to the operator')[0]
        ?.match(/status: \d/g)?.length,
    )
    .map(({ code }) => code)
    .filter(
      (code) =>
        !['not_found', 'method_not_allowed', 'too_large', 'unsupported_media_type', 'expectation_failed'].includes(
          code,
        ),
    );
  for (const code of [...reasons, ...own, ...server, 'offline', 'http_error']) t.ok(known.includes(code), code);
});
