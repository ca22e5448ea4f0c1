import { CommandError, ExitCode } from "./commandError";

/** Ctrl-C while a command waited for something. */
export class Interrupted extends CommandError {
  constructor(message = "Stopped.") {
    super(message, ExitCode.interrupted);
    this.name = "Interrupted";
  }
}

/** Waits; every loop of a command waits by this, so that Ctrl-C ends it in good order. @throws Interrupted */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) {
    throw new Interrupted();
  }
  await new Promise<void>((settle, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new Interrupted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      settle();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Does something that ends in good order at the first Ctrl-C (its `pause` throws, what it has begun is put in order) and at
 * once at the second.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let first = 0;
  const interrupt = () => {
    // npm and the terminal may both deliver the first one.
    if (controller.signal.aborted && Date.now() - first > 1000) {
      process.exit(ExitCode.interrupted);
    }
    first ||= Date.now();
    controller.abort();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) {
    process.on(signal, interrupt);
  }
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) {
      process.off(signal, interrupt);
    }
  }
}
