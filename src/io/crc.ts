/**
 * Cyclic redundancy checks of 32 bits: reflected, all ones at the start, inverted at the end. With the result for
 * the bytes before as `before`, the next ones go on from there.
 */

/** CRC-32 (polynomial 0x04C11DB7), as in zip files. */
export const crc32 = crc(0xedb88320);

/** CRC-32C (Castagnoli, polynomial 0x1EDC6F41), as in TFRecord files. */
export const crc32c = crc(0x82f63b78);

/** @param polynomial with its bits reversed */
function crc(polynomial: number): (bytes: Uint8Array, before?: number) => number {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1;
    return rest;
  });
  return (bytes, before = 0) => {
    let rest = ~before;
    for (let i = 0; i < bytes.length; i++) rest = table[(rest ^ bytes[i]) & 255] ^ (rest >>> 8);
    return ~rest >>> 0;
  };
}
