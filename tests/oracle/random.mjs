// Seeded randomness (mulberry32), so that a failing text can be made again.

/** `below(n)`: an integer in 0..n; `pick(list)`: one of it; `many(n, make)`: n made and joined. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return {
    below,
    pick: (list) => list[below(list.length)],
    many: (n, make) => Array.from({ length: n }, make).join(""),
  };
}
