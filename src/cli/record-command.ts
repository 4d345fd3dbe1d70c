/** Records in the audit log what a command is about to do (docs/audit.md). */

import { hostname, userInfo } from 'node:os';
import { openAudit } from '../audit/audit.ts';
import { openSink } from '../audit/sinks.ts';
import { auditSettings, processSettings } from '../config/config.ts';
import { say } from './terminal.ts';

/** A sink that cannot be written must not keep an operator from stopping a key, so that is only a warning. */
export async function recordCommand(action: string): Promise<void> {
  const settings = auditSettings(processSettings());
  if (settings.sinks.length === 0) return;
  try {
    const sinks = await Promise.all(settings.sinks.map((url) => openSink(url, settings)));
    const audit = openAudit(sinks, () => ({
      written: () => undefined,
      failed: () => undefined,
      lost: () => undefined,
    }));
    audit.record({
      at: new Date().toISOString(),
      event: 'command',
      action,
      user: userInfo().username,
      host: hostname(),
    });
    await audit.close();
  } catch (error) {
    say(`WARNING: this command is not in the audit log: ${error instanceof Error ? error.message : error}`);
  }
}
