/** Images for training in a page, on the browser's decoders. The twin for Node is decoder.node.ts. */
export { decodeSquare } from './square.ts';
