/** Format and size of an image out of the first bytes of its file, before anything is decoded. */

export interface ImageHeader {
  readonly format: 'JPEG' | 'PNG' | 'WebP';
  /** In pixels, as stored: before any rotation that the EXIF data asks for. */
  readonly width: number;
  readonly height: number;
}

/** The header of a JPEG, PNG or WebP file, or undefined for other or broken ones. */
export function readImageHeader(bytes: Uint8Array): ImageHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (view.getUint32(0) === 0x89504e47 && view.getUint32(4) === 0x0d0a1a0a) {
      return { format: 'PNG', width: view.getUint32(16), height: view.getUint32(20) };
    }
    if (view.getUint16(0) === 0xffd8) return jpegHeader(view);
    if (view.getUint32(0) === fourCharacters('RIFF') && view.getUint32(8) === fourCharacters('WEBP')) {
      return webpHeader(view);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // beyond the end: the file is cut off
  }
  return undefined;
}

/** Walks the markers to the start of frame (ITU T.81, B.2.2): SOF0 to SOF15 but for DHT, JPG and DAC among them. */
function jpegHeader(view: DataView): ImageHeader | undefined {
  for (let at = 2; ; ) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at++; // fill byte
    } else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { format: 'JPEG', width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    } else {
      at += 2 + view.getUint16(at + 2);
    }
  }
}

/** The three kinds of first chunk (RFC 9649): lossy, lossless, extended. */
function webpHeader(view: DataView): ImageHeader | undefined {
  switch (view.getUint32(12)) {
    case fourCharacters('VP8 '):
      return { format: 'WebP', width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    case fourCharacters('VP8L'): {
      const bits = view.getUint32(21, true);
      return { format: 'WebP', width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
    }
    case fourCharacters('VP8X'): {
      const [width, height] = [24, 27].map(at => (view.getUint16(at, true) | (view.getUint8(at + 2) << 16)) + 1);
      return { format: 'WebP', width, height };
    }
  }
  return undefined;
}

const fourCharacters = (text: string): number => [...text].reduce((sum, c) => sum * 256 + c.charCodeAt(0), 0);
