/**
 * A policy as an administrator writes it, and what it means: rules for guests by domain id or by name, with what holds for everybody else. The shape
 * has been checked by whoever read it; here addresses, ports and names are, and every mistake is a line that says where. Knows no file.
 */
import type { Limits } from './account.ts';
import { Family, plain } from './address.ts';
import { type Net, type PortRange, parseAddress, parseNet, parsePorts } from './net.ts';
import type { Direction, GuestRules, Mapping, Rule } from './policy.ts';

type OneOrMore<T> = T | readonly T[];

export interface RuleText {
  readonly action: 'allow' | 'deny';
  /** Default: all. */
  readonly direction?: OneOrMore<Direction>;
  /** `10.0.0.0/8`, `::1`; default: all. */
  readonly address?: OneOrMore<string>;
  /** 80, `8000-8999`; default: all. */
  readonly ports?: OneOrMore<number | string>;
  readonly comment?: string;
}

export interface GuestText {
  readonly rules?: readonly RuleText[];
  readonly otherwise?: 'allow' | 'deny';
  /** The guests' network that it is in; false: none. */
  readonly localhost?: string | false;
  /** From what the guest says to what is meant: `{"10.53.0.1": "127.0.0.1", "0.0.0.0:80": "127.0.0.1:8080"}`. */
  readonly map?: {
    readonly connect?: Readonly<Record<string, string>>;
    readonly listen?: Readonly<Record<string, string>>;
  };
  readonly limits?: Partial<Limits>;
}

export interface PolicyText {
  /** What holds where a guest's own entry says nothing. */
  readonly default?: GuestText;
  /** By domain id or name. */
  readonly guests?: Readonly<Record<string, GuestText>>;
}

export interface Policy {
  /** `name`: undefined where the backend may not read it. */
  of(domid: number, name: string | undefined): GuestRules;
}

const usualLimits: Limits = {
  sockets: 4096,
  listening: 256,
  pages: 65_536,
  ringOrder: 9,
  backlog: 1024,
  connectsPerSecond: 0,
  bytesPerSecond: 0,
};

/** Everybody may do what is usual; guests have a network of their own. */
const usual: GuestText = { rules: [], otherwise: 'allow', localhost: 'host' };

const DEFAULT = 'default';

/** Lines on what cannot be meant, each with its place. */
export type Compiled =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly mistakes: readonly string[] };

export function compilePolicy(text: PolicyText): Compiled {
  const mistakes: string[] = [];
  const general = { ...usual, ...text.default };
  const compile = (name: string, place: string, guest: GuestText): GuestRules =>
    compileGuest({ name, place, guest, general, mistakes });
  const others = compile(DEFAULT, DEFAULT, {});
  const guests = new Map(
    Object.entries(text.guests ?? {}).map(([name, guest]) => [name, compile(name, `guests.${name}`, guest)]),
  );
  if (mistakes.length > 0) return { ok: false, mistakes };
  const of = (domid: number, name: string | undefined): GuestRules =>
    guests.get(`${domid}`) ?? (name === undefined ? undefined : guests.get(name)) ?? others;
  return { ok: true, policy: { of } };
}

interface ToCompile {
  readonly name: string;
  /** In the text, for mistakes. */
  readonly place: string;
  readonly guest: GuestText;
  readonly general: GuestText;
  readonly mistakes: string[];
}

function compileGuest({ name, place, guest, general, mistakes }: ToCompile): GuestRules {
  const { rules = [], otherwise = 'allow', localhost, map } = { ...general, ...guest };
  // Rules that are not its own have their names, and their mistakes, from where they stand.
  const owner = (field: keyof GuestText): string => (guest[field] === undefined ? DEFAULT : place);
  return {
    name,
    rules: rules.map((rule, at) => compileRule(rule, `${owner('rules')}.rules[${at}]`, mistakes)),
    otherwise,
    localhost: localhost === false ? undefined : localhost,
    connectMap: compileMap(map?.connect, `${owner('map')}.map.connect`, mistakes),
    listenMap: compileMap(map?.listen, `${owner('map')}.map.listen`, mistakes),
    limits: { ...usualLimits, ...general.limits, ...guest.limits },
  };
}

function compileRule(rule: RuleText, place: string, mistakes: string[]): Rule {
  const complain = (what: string): void => note(mistakes, `${place}.${what}`);
  const nets = listOf(rule.address).flatMap((text): Net[] => {
    const net = parseNet(text);
    if (net === undefined) complain(`address: ${text} is neither an address nor a net such as 10.0.0.0/8`);
    return net === undefined ? [] : [net];
  });
  const ports = listOf(rule.ports).flatMap((text): PortRange[] => {
    const range = parsePorts(`${text}`);
    if (range === undefined) complain(`ports: ${text} is neither a port nor a range such as 8000-8999`);
    return range === undefined ? [] : [range];
  });
  return {
    text: ruleText(rule, place),
    allow: rule.action === 'allow',
    directions: listOf(rule.direction),
    nets,
    ports,
  };
}

/** `web.rules[1] (deny connect to 10.0.0.0/8 port 22)`, for reasons. */
function ruleText({ action, direction, address, ports }: RuleText, place: string): string {
  const parts: string[] = [action, ...listOf(direction)];
  if (address !== undefined) parts.push(listOf(address).join(', '));
  if (ports !== undefined) parts.push(`port ${listOf(ports).join(', ')}`);
  return `${place} (${parts.join(' ')})`;
}

function compileMap(
  map: Readonly<Record<string, string>> = {},
  place: string,
  mistakes: string[],
): readonly Mapping[] {
  return Object.entries(map).flatMap(([fromText, toText]) => {
    const from = parseAddress(fromText);
    const to = parseAddress(toText);
    for (const [text, address] of [
      [fromText, from],
      [toText, to],
    ] as const)
      if (address === undefined)
        note(mistakes, `${place}: ${text} is neither an address nor one with a port such as 10.0.0.1:80`);
    if (from === undefined || to === undefined) return [];
    if (from.port === 0 && to.port !== 0) {
      note(mistakes, `${place}: ${fromText} has no port, but ${toText} has one`);
      return [];
    }
    const mapping = { from: plain(from), to: plain(to) };
    // An IPv4 socket has no name for who is there.
    if (mapping.from.family === Family.INET && mapping.to.family !== Family.INET) {
      note(mistakes, `${place}: ${fromText} is IPv4, and ${toText} is not`);
      return [];
    }
    return [mapping];
  });
}

/** Once: rules that hold for several guests are looked at for each. */
function note(mistakes: string[], line: string): void {
  if (!mistakes.includes(line)) mistakes.push(line);
}

function listOf<T>(value: OneOrMore<T> | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}
