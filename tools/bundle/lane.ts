/** Time in which work asked for at about the same moment is put in order, in milliseconds. */
const gatherMs = 400;

interface Waiting {
  readonly rank: number;
  readonly start: () => Promise<void>;
}

/** Runs one piece of work at a time; of those that wait, the one of the lowest rank first. */
export class Lane {
  private readonly waiting: Waiting[] = [];
  private running = false;

  constructor(private readonly gather = gatherMs) {}

  run<T>(rank: number, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.waiting.push({ rank, start: () => work().then(resolve, reject) });
      if (this.running) return;
      this.running = true;
      setTimeout(() => void this.next(), this.gather);
    });
  }

  private async next(): Promise<void> {
    for (;;) {
      this.waiting.sort((a, b) => a.rank - b.rank);
      const first = this.waiting.shift();
      if (first === undefined) break;
      await first.start();
    }
    this.running = false;
  }
}
