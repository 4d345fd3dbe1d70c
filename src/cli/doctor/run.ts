/** `webdist doctor`: checks everything that an install depends on, one line each (docs/doctor.md). */

import { processEnvironment } from '../../config/config.ts';
import { type Diagnosis, runDoctor } from '../../doctor/doctor.ts';
import { advised } from '../invocation.ts';
import { bold, type JsonOption, type Line, print, resultLine, withProgress } from '../terminal.ts';

type Options = JsonOption & { readonly public?: URL; readonly service?: URL; readonly connect?: string };

export async function doctor({ public: publicUrl, service: serviceUrl, connect, json }: Options): Promise<void> {
  const env = processEnvironment();
  const found = await withProgress('Checking', () => runDoctor({ env, publicUrl, serviceUrl, connect }));
  const report = found.map(({ hint, ...one }) => ({ ...one, ...(hint && { hint: advised(hint) }) }));
  const count = (result: Diagnosis['result']) => report.filter((one) => one.result === result).length;
  const isOk = count('fail') === 0;
  print({ ok: isOk, checks: report }, json, [
    ...linesOf('Private checks', report, 'private'),
    ...linesOf('Public checks', report, 'public'),
    `${report.length} ${report.length === 1 ? 'check' : 'checks'}: ${count('fail')} fail, ${count('warn')} warn, ${count('info')} info, ${count('ok')} ok.`,
  ]);
  if (!isOk) process.exitCode = 1;
}

function linesOf(title: string, report: readonly Diagnosis[], section: Diagnosis['section']): Line[] {
  const checks = report.filter((one) => one.section === section);
  if (checks.length === 0) return [];
  const width = Math.max(...checks.map(({ id }) => id.length));
  const indent = ' '.repeat(width + 8);
  return [
    bold(title),
    ...checks.flatMap(({ id, result, found, why, hint }) => [
      resultLine(result, `${id.padEnd(width)}  ${found}`),
      ...(result === 'warn' || result === 'fail' ? [`${indent}why: ${why}`] : []),
      ...(hint ? [`${indent}fix: ${hint}`] : []),
    ]),
    '',
  ];
}
