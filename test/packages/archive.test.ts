/** What is accepted as a package archive: two files, found by name, of a bounded size, with the checksum that Apple gave. */

import { createHash } from 'node:crypto';
import { type Zippable, zipSync } from 'fflate';
import t from 'tap';
import { readArchive } from '../../src/packages/archive.ts';

const MAX_ENTRY_BYTES = 32 * 1024 * 1024;
const manifest = Buffer.from(
  JSON.stringify({
    appleItemId: '6500000001',
    bundleId: 'com.example.trailmap',
    appleVersionId: '2000000042',
    shortVersionString: '1.3.0',
    variants: [],
  }),
);
const signature = Buffer.from('signature');
const files: Zippable = { 'manifest.json': manifest, signature };
const zip = zipSync(files);
const digest = (algorithm: string) => createHash(algorithm).update(zip).digest('hex');

/** Writes another uncompressed size over that of the only entry, in its local header and in the central directory. */
function withSize(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.writeUInt32LE(size, copy.indexOf('PK\x03\x04', 0, 'latin1') + 22);
  copy.writeUInt32LE(size, copy.indexOf('PK\x01\x02', 0, 'latin1') + 24);
  return copy;
}

t.test('accepted', async (t) => {
  const accepted: Readonly<Record<string, [zip: Uint8Array, checksum?: string]>> = {
    'without a checksum': [zip],
    'with an MD5 checksum': [zip, digest('md5')],
    'with a SHA-256 checksum': [zip, digest('sha256')],
    'in a folder': [zipSync({ 'package/manifest.json': manifest, 'package/signature': signature })],
    'with a folder of macOS': [zipSync({ ...files, '__MACOSX/manifest.json': Buffer.from('no JSON') })],
    'with other files, which are not read': [zipSync({ ...files, 'large.bin': new Uint8Array(MAX_ENTRY_BYTES + 1) })],
    'with names that lead out of a folder, which are never used as paths': [
      zipSync({ '../../manifest.json': manifest, '/etc/signature': signature }),
    ],
  };
  for (const [name, [bytes, checksum]] of Object.entries(accepted)) {
    const archive = readArchive(bytes, checksum);
    t.equal(archive.manifest.appleVersionId, '2000000042', name);
    t.strictSame(Buffer.from(archive.manifestBytes), manifest, name);
    t.strictSame(Buffer.from(archive.signature), signature, name);
  }
});

t.test('refused', async (t) => {
  const bomb = zipSync({ 'manifest.json': new Uint8Array(MAX_ENTRY_BYTES * 2) });
  const refused: Readonly<Record<string, [message: RegExp, zip: Uint8Array, checksum?: string]>> = {
    'another checksum': [/checksum/, zip, '0'.repeat(64)],
    'an MD5 of something else': [/checksum/, zip, '0'.repeat(32)],
    'a checksum that is none': [/checksum/, zip, ''],
    'no zip': [/not a readable zip/, Buffer.from('<html>')],
    'no bytes': [/not a readable zip/, Buffer.alloc(0)],
    'half a zip': [/not a readable zip/, zip.subarray(0, zip.length / 2)],
    'no signature': [/does not contain manifest\.json and signature/, zipSync({ 'manifest.json': manifest })],
    'no manifest': [/does not contain manifest\.json and signature/, zipSync({ signature })],
    'a name that only ends like it': [/does not contain/, zipSync({ 'a-manifest.json': manifest, signature })],
    'a manifest that is too large': [/does not contain/, bomb],
    'a manifest that is larger than it claims': [/not a readable zip|does not contain/, withSize(bomb, 100)],
    'a manifest that is no JSON': [/manifest\.json cannot be read/, zipSync({ ...files, 'manifest.json': signature })],
    'a manifest of another form': [
      /manifest\.json cannot be read/,
      zipSync({ ...files, 'manifest.json': Buffer.from('[]') }),
    ],
  };
  for (const [name, [message, bytes, checksum]] of Object.entries(refused))
    t.throws(() => readArchive(bytes, checksum), { code: 'package_invalid', message }, name);
});
