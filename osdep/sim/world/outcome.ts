/** What a piece of the world answers: a value or a positive errno. A domain's mistakes are answers, never exceptions. */
export interface Done<T> {
  readonly ok: true;
  readonly value: T;
}

export interface Fail {
  readonly ok: false;
  readonly errno: number;
}

export type Outcome<T> = Done<T> | Fail;

export function done<T>(value: T): Done<T> {
  return { ok: true, value };
}

export function fail(errno: number): Fail {
  return { ok: false, errno };
}

/** The answer of those who have nothing to say. */
export const nothing: Done<Record<never, never>> = done({});
