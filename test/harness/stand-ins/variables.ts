import type { Test } from 'tap';

/** Sets environment variables of this process, which vendors' SDKs read, until the test ends. */
export function setVariables(t: Test, variables: Readonly<Record<string, string>>): void {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  t.teardown(() => {
    for (const name of Object.keys(variables)) {
      const value = before[name];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}

/** Why a test against the real service is skipped: the variable that names a key or secret there is not set. */
export const unset = (name: string): string | false => (process.env[name] ? false : `${name} is not set`);
