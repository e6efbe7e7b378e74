/** A file of the folder weights/ beside the page. */
export async function readWeights(file: string): Promise<Uint8Array | undefined> {
  const response = await fetch(new URL(`weights/${file}`, globalThis.location.href));
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
}
