import { connection } from 'next/server';
import { installClient } from 'webdist-button/client';
import { Install } from './install';

/** The link for this visitor, requested by the website's server; undefined where it has no API key. */
async function installUrl() {
  const { WEBDIST_URL: server, WEBDIST_API_KEY: apiKey } = process.env;
  if (!server || !apiKey) return undefined;
  const client = installClient({ server, apiKey });
  const answer = await client.installToken({ app: 'com.example.trailmap' }).catch(console.error);
  return answer?.installUrl;
}

export default async function Page() {
  await connection(); // rendered for each request: the link is for one visitor
  return (
    <main>
      <h1>Trail Map</h1>
      <Install url={await installUrl()} />
    </main>
  );
}
