/** The text in the bytes of a secret: UTF-8 or UTF-16, or base64 of DER, which is not text. */

/** Decodes a secret. DER (a SEQUENCE that fills all bytes) becomes base64, so that a secret is always text. */
export function decodeSecret(bytes: Buffer): string {
  if (isDerSequence(bytes)) return bytes.toString('base64');
  const [first, second] = bytes;
  // A byte order mark, or the zero byte of an ASCII character such as the "-" of a PEM.
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return bytes.toString('utf16le');
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0)) return bigEndian(bytes).toString('utf16le');
  return bytes.toString('utf8');
}

/** Whether the bytes are one DER SEQUENCE (ITU-T X.690 §8.1). Every form of a key is one. */
export function isDerSequence(bytes: Buffer): boolean {
  if (bytes[0] !== 0x30 || bytes.length < 8) return false;
  const [, length = 0] = bytes;
  if (length < 0x80) return bytes.length === 2 + length;
  const size = length - 0x80;
  return size >= 1 && size <= 3 && bytes.length === 2 + size + bytes.readUIntBE(2, size);
}

const bigEndian = (bytes: Buffer) => Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16();
