import { installClient } from 'webdist-button/client';
import { WEBDIST_API_KEY as apiKey, WEBDIST_URL as server } from '$app/env/private';

/** The link for this visitor, requested by the website's server; undefined where it has no API key. */
export async function load({ setHeaders }) {
  setHeaders({ 'cache-control': 'no-store' });
  if (!server || !apiKey) return { url: undefined };
  const client = installClient({ server, apiKey });
  const answer = await client.installToken({ app: 'com.example.trailmap' }).catch(console.error);
  return { url: answer?.installUrl };
}
