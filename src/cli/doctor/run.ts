/** `webdist doctor`: everything an install depends on, one line each (docs/doctor.md). */

import { processEnvironment } from '../../config/config.ts';
import { type Diagnosis, runDoctor } from '../../doctor/doctor.ts';
import { bold, type JsonOption, print, resultWord, withProgress } from '../terminal.ts';

type Options = JsonOption & { readonly public?: URL; readonly service?: URL; readonly connect?: string };

export async function doctor({ public: publicUrl, service: serviceUrl, connect, json }: Options): Promise<void> {
  const env = processEnvironment();
  const found = await withProgress('Looking', () => runDoctor({ env, publicUrl, serviceUrl, connect }));
  const count = (result: Diagnosis['result']) => found.filter((one) => one.result === result).length;
  const isSound = count('fail') === 0;
  print({ ok: isSound, checks: found }, json, [
    ...linesOf('Private side', found, 'private'),
    ...linesOf('Public side', found, 'public'),
    `${found.length} checks: ${count('fail')} fail, ${count('warn')} warn, ${count('info')} info, ${count('ok')} ok.`,
  ]);
  if (!isSound) process.exitCode = 1;
}

function linesOf(title: string, found: readonly Diagnosis[], section: Diagnosis['section']): string[] {
  const ours = found.filter((one) => one.section === section);
  if (ours.length === 0) return [];
  const width = Math.max(...ours.map(({ id }) => id.length));
  const indent = ' '.repeat(width + 8);
  return [
    bold(title),
    ...ours.flatMap(({ id, result, found, why, hint }) => [
      `${resultWord(result)}  ${id.padEnd(width)}  ${found}`,
      ...(result === 'warn' || result === 'fail' ? [`${indent}why:  ${why}`] : []),
      ...(hint ? [`${indent}hint: ${hint}`] : []),
    ]),
    '',
  ];
}
