/**
 * The normal numbers of NumPy's RandomState(seed).randn(count), bit for bit but for the host's logarithm: what NVlabs'
 * tools mean by an image's seed. The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) and the polar method.
 * @param seed 0 to 2³² - 1
 */
export function numpyNormals(seed: number, count: number): Float64Array {
  const next = uniforms(seed);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    let [a, b, square] = [0, 0, 0];
    while (square === 0 || square >= 1) {
      [a, b] = [2 * next() - 1, 2 * next() - 1];
      square = a * a + b * b;
    }
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    values[i] = factor * b;
    if (i + 1 < count) values[i + 1] = factor * a;
  }
  return values;
}

const [WORDS, SHIFT] = [624, 397];

/** Uniform numbers in [0, 1) with 53 bits, of two words each. */
function uniforms(seed: number): () => number {
  const state = new Uint32Array(WORDS);
  state[0] = seed;
  for (let i = 1; i < WORDS; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = WORDS;
  const twist = () => {
    for (let i = 0; i < WORDS; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % WORDS] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % WORDS] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  const word = () => {
    if (at === WORDS) twist();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
  return () => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53;
}
