/** How a process is told to stop. Knows not what it does. */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** At the first signal, or when whoever started the process lets go of its standard input, where he says that it is for that. */
export function onStop(stop: () => void): void {
  let told = false;
  const tell = (): void => {
    if (told) return;
    told = true;
    stop();
  };
  for (const signal of SIGNALS) process.once(signal, tell);
  if (process.env.STUBDOM0_LIFELINE === 'stdin') process.stdin.once('end', tell).resume();
}
