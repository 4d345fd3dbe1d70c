/** Stands in for src/browser/package/modules.ts: no browser loads the button here, and each start would prepare its modules. */

export const buttonModules = (): Readonly<Record<string, string>> => ({ 'install-button.js': '' });
