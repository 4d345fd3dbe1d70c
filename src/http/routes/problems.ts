/**
 * `GET /problems/CODE`: the page to which the `type` of a problem and the `help` of the install button lead
 * (docs/http-api.md, "Errors"). Browsers get HTML, everything else Markdown.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { WebdistError } from '../../errors.ts';
import { PAGE_POLICY } from '../html.ts';
import { markdownPage } from '../markdown-page.ts';
import { type ProblemGuide, problemGroups, problemGuides } from '../problem-guide.ts';
import { problemSchema } from '../problems.ts';

const text = { schema: z.string() };
const response = { 200: { description: 'A page', content: { 'text/html': text, 'text/markdown': text } } };

const unknown = { 'application/problem+json': { schema: problemSchema }, 'text/html': text };

const KEPT = { 'cache-control': 'public, max-age=300', vary: 'accept' };

/** Adds `/problems/CODE`, and `/problems` with a list of all codes. */
export const problemsRoute: FastifyPluginAsyncZod = async (app) => {
  const all = { operationId: 'getProblems', summary: 'The codes of all problems', response };
  app.get('/problems', { schema: all }, async (request, reply) =>
    answer(request, reply, { title: 'Problems', markdown: list('problems') }),
  );
  const one = {
    operationId: 'getProblem',
    summary: 'What a problem means, and what to do',
    params: z.object({ code: z.string() }),
    response: {
      ...response,
      404: { description: '`not_found`: there is no problem with this code', content: unknown },
    },
  } as const;
  app.get('/problems/:code', { schema: one }, async (request, reply) => {
    const { code } = request.params;
    const guide = problemGuides.get(code);
    if (!guide && prefersHtml(request.headers.accept ?? ''))
      return answer(request, reply.code(404), { title: 'There is no problem with this code', markdown: list('.') });
    if (!guide) throw new WebdistError('not_found', 'There is no problem with this code.');
    return answer(request, reply, {
      title: guide.title,
      markdown: `# ${guide.title}\n\n${explanationOf(code, guide)}`,
    });
  });
};

/** What the page of a code and docs/problems.md say about it, in Markdown. */
export const explanationOf = (code: string, { meaning, why, caller, operator }: ProblemGuide): string =>
  [`\`${code}\`: ${meaning}`, `**Why:** ${why}`, `**For the caller:** ${caller}`, `**For the operator:** ${operator}`]
    .join('\n\n')
    .concat('\n');

/** `base` is the relative path from this page to the pages of the codes. */
const list = (base: string): string => {
  const row = (code: string) => `- [\`${code}\`](${base}/${code}): ${problemGuides.get(code)?.title}`;
  const parts = Object.entries(problemGroups).map(([title, codes]) => `## ${title}\n\n${codes.map(row).join('\n')}`);
  return `# Problems\n\n${parts.join('\n\n')}\n`;
};

function answer(request: FastifyRequest, reply: FastifyReply, page: { title: string; markdown: string }) {
  reply.headers(KEPT);
  if (!prefersHtml(request.headers.accept ?? '')) return reply.type('text/markdown; charset=utf-8').send(page.markdown);
  return reply.header('content-security-policy', PAGE_POLICY).type('text/html; charset=utf-8').send(markdownPage(page));
}

/** RFC 9110 §12.5.1, of two types; a tie, as with curl's `*` `/` `*`, is Markdown. */
function prefersHtml(accept: string): boolean {
  const ranges = accept.split(',').map((range) =>
    range
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/),
  );
  const quality = (...names: string[]) => {
    const name = names.find((one) => ranges.some(([type]) => type === one));
    const [, ...parameters] = ranges.find(([type]) => type === name) ?? ['', 'q=0'];
    return Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? 1);
  };
  return quality('text/html', 'text/*', '*/*') > quality('text/markdown', 'text/*', '*/*');
}
