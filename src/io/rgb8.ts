/** An image of 8 bits a channel, red, green, blue interleaved, rows from the top: 3 · width · height bytes. */
export interface Rgb8 {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}
