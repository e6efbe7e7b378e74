/** The ELEMENT of a shader that walks along runs of this many elements: vec4f where four divides them, else f32. */
export function vectorText(length: number): { lanes: 1 | 4; text: { ELEMENT: string } } {
  return length % 4 === 0 ? { lanes: 4, text: { ELEMENT: 'vec4f' } } : { lanes: 1, text: { ELEMENT: 'f32' } };
}
