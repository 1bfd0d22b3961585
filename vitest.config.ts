import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A loaded machine may take its time; whoever waits for what never comes still hears what it was.
    expect: { poll: { timeout: 20_000 } },
    pool: 'forks',
    // Tests wait much for other processes: a core that is left alone by default would double the time where there are two.
    maxWorkers: '100%',
  },
});
