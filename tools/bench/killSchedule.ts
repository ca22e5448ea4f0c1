/** When the commands of one cycle are killed: shares of the time they took undisturbed. */
export interface KillTimes {
  readonly up: number;
  readonly destroy: number;
}

/** Not before the program has started, and not so late that it has ended already. */
const EARLIEST = 0.02;
const LATEST = 0.97;

/** The same seed gives the same cycles, on every machine. */
export function killSchedule(seed: number, cycles: number): readonly KillTimes[] {
  const random = randomNumbers(seed);
  const share = () => EARLIEST + (LATEST - EARLIEST) * random();
  return Array.from({ length: cycles }, () => ({ up: share(), destroy: share() }));
}

/** Numbers from 0 to 1, the mulberry32 generator: Node's own takes no seed. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
