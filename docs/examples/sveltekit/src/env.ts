import { defineEnvVars } from '@sveltejs/kit/env';

/** Only the server sees them. */
export const variables = defineEnvVars({
  WEBDIST_URL: { schema: (value: string | undefined) => value },
  WEBDIST_API_KEY: { schema: (value: string | undefined) => value },
});
