/**
 * What a vif may send at most, as xl-network-configuration(5) says it: `10Mb/s`, `250KB/s@20ms`. K, M and G are powers of ten, b is bits.
 */
import type { VifConfig } from './config.ts';

const AMOUNT = /^([0-9]+)([GMK]?)([Bb])\/s$/;
const INTERVAL = /^([0-9]+)([mu]?)s?$/;

const powers: Readonly<Record<string, bigint>> = { '': 1n, K: 1000n, M: 1_000_000n, G: 1_000_000_000n };
const U32_MAX = 2n ** 32n - 1n;
const U64_MAX = 2n ** 64n - 1n;
const DEFAULT_US = 50_000n;

/** undefined: it is none. */
export function parseRate(text: string): NonNullable<VifConfig['rate']> | undefined {
  const [amount = '', interval] = text.split(/@(.*)/s);
  const perSecond = bytesOf(amount);
  const us = interval === undefined ? DEFAULT_US : microsecondsOf(interval);
  if (perSecond === undefined || us === undefined) return undefined;
  if (perSecond * us > U64_MAX) return undefined;
  const bytes = (perSecond * us) / 1_000_000n;
  return { bytes: Number(bytes), intervalUs: Number(us) };
}

function bytesOf(text: string): bigint | undefined {
  const match = AMOUNT.exec(text);
  const number = wholeOf(match?.[1]);
  if (match === null || number === undefined) return undefined;
  return (number * powers[match[2]!]!) / (match[3] === 'b' ? 8n : 1n);
}

function microsecondsOf(text: string): bigint | undefined {
  const match = INTERVAL.exec(text);
  const number = wholeOf(match?.[1]);
  if (match === null || number === undefined) return undefined;
  const us = number * (match[2] === 'u' ? 1n : match[2] === 'm' ? 1000n : 1_000_000n);
  return us > U32_MAX ? undefined : us;
}

/** As C reads it, a leading 0 means octal. */
function wholeOf(text: string | undefined): bigint | undefined {
  if (text === undefined || /^0[0-9]*[89]/.test(text)) return undefined;
  const number = BigInt(text.replace(/^0(?=[0-7])/, '0o'));
  return number === 0n || number > U32_MAX ? undefined : number;
}
