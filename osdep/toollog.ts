/**
 * Levels and a logger to a stream, as libxentoollog prints them. Knows no stream, process or clock: it is given
 * what it needs of them. (xen/tools/include/xentoollog.h)
 */
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
