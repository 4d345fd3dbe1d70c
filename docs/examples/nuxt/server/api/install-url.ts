import { installClient } from 'webdist-button/client';

/** The link for this visitor, requested by the website's server; undefined where it has no API key. */
export default defineEventHandler(async (event) => {
  setHeader(event, 'cache-control', 'no-store');
  const { webdistUrl: server, webdistApiKey: apiKey } = useRuntimeConfig(event);
  if (!server || !apiKey) return { url: undefined };
  const client = installClient({ server, apiKey });
  const answer = await client.installToken({ app: 'com.example.trailmap' }).catch(console.error);
  return { url: answer?.installUrl };
});
