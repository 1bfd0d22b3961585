/** What becomes of a command whose output nobody takes: it ends, as other programs do. */

const SIGPIPE = 13;

/** For programs that are done when they have said it all; whoever stays for longer goes on without who listens. */
export function endWithOutput(): void {
  const { stdout, stderr } = process;
  const end = ({ code, message }: NodeJS.ErrnoException, told: boolean): void => {
    // A reader that went away (`| head -1`) is no mistake.
    if (code === 'EPIPE') process.exit(128 + SIGPIPE);
    if (told) stderr.write(`stubdom0: cannot write: ${message}\n`);
    process.exit(1);
  };
  stdout.on('error', (error) => end(error, true));
  stderr.on('error', (error) => end(error, false));
}
