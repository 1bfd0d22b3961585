/**
 * Levels and a logger to a stream, as libxentoollog prints them. Knows no stream, process or clock: it is given
 * what it needs of them. (xen/tools/include/xentoollog.h)
 */
import { strerror } from './strerror.ts';

export const LogLevel = {
  NONE: 0,
  DEBUG: 1,
  VERBOSE: 2,
  DETAIL: 3,
  PROGRESS: 4,
  INFO: 5,
  NOTICE: 6,
  WARN: 7,
  ERROR: 8,
  CRITICAL: 9,
} as const;

export interface LogMessage {
  readonly level: number;
  /** What part of the program speaks. */
  readonly context?: string;
  /** A positive errno whose text is appended. */
  readonly errno?: number;
  readonly text: string;
}

export interface LogProgress {
  readonly context?: string;
  readonly what: string;
  readonly percent: number;
  readonly done: number;
  readonly total: number;
}

export interface Logger {
  log(message: LogMessage): void;
  /** A logger without it shows no progress. */
  progress?(progress: LogProgress): void;
}

/** The name as it is printed; throws for NONE and what is no level. */
export function levelName(level: number): string {
  const name = NAMES[level - 1];
  if (name === undefined) {
    throw new RangeError(`no log level: ${level}`);
  }
  return name;
}

const NAMES: readonly string[] = [
  'debug',
  'verbose',
  'detail',
  'progress',
  'info',
  'notice',
  'warning',
  'error',
  'critical',
];

/** Where a log goes, and what it needs to know of the process. */
export interface LogStream {
  write(text: string): void;
  readonly isTerminal: boolean;
  readonly pid: number;
  /** Local time, as `2026-11-21 05:30:16 CET`. */
  localTime(): string;
}

export interface StdioLoggerOptions {
  /** Messages below it are dropped. Default: PROGRESS. */
  readonly minLevel?: number;
  readonly showPid?: boolean;
  readonly showDate?: boolean;
  readonly hideProgress?: boolean;
  /** Whether progress is drawn over itself in one line. Default: on a terminal. */
  readonly progressLine?: 'redrawn' | 'new' | 'as terminal';
}

/** A message that differs less than this much from the last is a detail. */
const PROGRESS_STEP = 5;
const MAX_EXACT = 2 ** 53 / 100;

/** `done` of `total` in percent, rounded down; 0 of nothing. */
export function percentOf(done: number, total: number): number {
  if (total === 0) {
    return 0;
  }
  return total < MAX_EXACT ? Math.floor((done * 100) / total) : Math.floor(done / Math.ceil(total / 100));
}

/** A logger to a stream of text, line by line as Xen's tools write. */
export class StdioLogger implements Logger {
  readonly #stream: LogStream;
  readonly #redraws: boolean;
  #options: StdioLoggerOptions;
  #minLevel: number;
  #drawn = 0;
  #lastPercent = 0;

  constructor(stream: LogStream, options: StdioLoggerOptions = {}) {
    this.#stream = stream;
    this.#options = options;
    this.#minLevel = options.minLevel ?? LogLevel.PROGRESS;
    const line = options.progressLine ?? 'as terminal';
    this.#redraws = line === 'redrawn' || (line === 'as terminal' && stream.isTerminal);
  }

  setMinLevel(level: number): void {
    this.#minLevel = level;
  }

  /** Changes what is named, leaves the rest. */
  adjust(options: Pick<StdioLoggerOptions, 'showPid' | 'showDate' | 'hideProgress'>): void {
    this.#options = { ...this.#options, ...options };
    if (this.#options.hideProgress) {
      this.#erase();
    }
  }

  log(message: LogMessage): void {
    if (message.level < this.#minLevel) {
      return;
    }
    this.#erase();
    const { showDate = false, showPid = false } = this.#options;
    const date = showDate ? `${this.#stream.localTime()} ` : '';
    const pid = showPid ? `[${this.#stream.pid}] ` : '';
    const context = message.context === undefined ? '' : `${message.context}: `;
    const error = message.errno === undefined ? '' : `: ${strerror(message.errno)}`;
    this.#stream.write(`${date}${pid}${context}${levelName(message.level)}: ${message.text}${error}\n`);
  }

  progress(progress: LogProgress): void {
    const { context, what, percent, done, total } = progress;
    if (this.#options.hideProgress || percent === this.#lastPercent) {
      return;
    }
    const isSmall = percent > this.#lastPercent && percent < this.#lastPercent + PROGRESS_STEP;
    const level = isSmall ? LogLevel.DETAIL : LogLevel.PROGRESS;
    if (level < this.#minLevel) {
      return;
    }
    this.#lastPercent = percent;
    const text = `${what}: ${done}/${total}  ${String(percent).padStart(3)}%`;
    if (!this.#redraws) {
      this.log({ level, text, ...(context === undefined ? {} : { context }) });
      return;
    }
    const prefix = context === undefined ? '' : `${context}: `;
    const line = `${prefix}${text}${done === total ? '\n' : ''}`;
    const rest = Math.max(0, this.#drawn - line.length);
    const blanks = rest > 0 ? `${' '.repeat(rest)}\r` : '';
    this.#stream.write(`${this.#drawn > 0 ? '\r' : ''}${line}${blanks}`);
    this.#drawn = line.length;
  }

  /** Takes a half-drawn progress line away. */
  close(): void {
    this.#erase();
  }

  /** The line is blanked, and counts as drawn until the next one, as in the C library. */
  #erase(): void {
    if (this.#drawn > 0) {
      this.#stream.write(`\r${' '.repeat(this.#drawn)}\r`);
    }
  }
}
