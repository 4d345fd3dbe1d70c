/** An App Store Connect with one package of any size, generated while it is sent. */

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import { zipSync } from 'fflate';
import { listen } from '../../harness/port.ts';

const CHUNK_BYTES = 1024 * 1024;
const APP = { WEBDIST_APPLE_ITEM_ID: '6500000001', WEBDIST_BUNDLE_ID: 'com.example.trailmap' };

/** Takes the size of the only variant in MiB. Returns the settings with which to pull it. */
export async function startLargeSource(
  megabytes: number,
): Promise<{ settings: Record<string, string>; close: () => void }> {
  const chunk = randomBytes(CHUNK_BYTES);
  const digest = createHash('sha256').update(chunk).digest('hex');
  const encryptedChunkDigests = Array.from({ length: megabytes }, () => digest);
  const manifest = {
    appleItemId: APP.WEBDIST_APPLE_ITEM_ID,
    bundleId: APP.WEBDIST_BUNDLE_ID,
    appleVersionId: '2000000042',
    shortVersionString: '1.3.0',
    variants: [
      {
        publicId: 'large',
        assetPath: 'variant/large.ipa',
        variantDetails: { hashes: [{ algorithm: 'sha256', chunkSize: CHUNK_BYTES, encryptedChunkDigests }] },
      },
    ],
  };
  const archive = zipSync({ 'manifest.json': Buffer.from(JSON.stringify(manifest)), signature: randomBytes(256) });
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const file = (name: string, type: string, id: string) => ({
      type,
      id,
      attributes: { url: `http://${request.headers.host}/files/${name}`, version: '1', state: 'COMPLETED' },
    });
    if (path === '/files/variant') {
      response.writeHead(200, { 'content-length': megabytes * CHUNK_BYTES });
      const chunks = Readable.from(Array.from({ length: megabytes }, () => chunk));
      return pipeline(chunks, response, () => undefined);
    }
    if (path === '/files/archive') return response.end(archive);
    const data: Readonly<Record<string, object>> = {
      '/v1/apps/6500000001/appStoreVersions': [
        { type: 'appStoreVersions', id: 'version', attributes: { versionString: '1.3.0' } },
      ],
      '/v1/appStoreVersions/version/alternativeDistributionPackage': {
        type: 'alternativeDistributionPackages',
        id: 'package',
      },
      '/v1/alternativeDistributionPackages/package/versions': [
        file('archive', 'alternativeDistributionPackageVersions', 'revision'),
      ],
      '/v1/alternativeDistributionPackageVariants/large': file(
        'variant',
        'alternativeDistributionPackageVariants',
        'large',
      ),
    };
    response.writeHead(data[path] ? 200 : 404, { 'content-type': 'application/json' });
    return response.end(JSON.stringify({ data: data[path] }));
  });
  const baseUrl = `http://127.0.0.1:${await listen(server)}`;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  return {
    settings: {
      ...APP,
      ASC_BASE_URL: baseUrl,
      ASC_KEY_ID: '2X9R4HXF34',
      ASC_ISSUER_ID: '57246542-96fe-1a63-e053-0824d011072a',
      ASC_PRIVATE_KEY_B64: Buffer.from(pem).toString('base64'),
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
