/**
 * Reads a policy: JSON, checked field by field against its schema and then for what it means. The only importer of ajv in this service. Knows the
 * shape, and nothing of who uses it.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import { compilePolicy, type Policy, type PolicyText } from '../core/policytext.ts';

/** A policy, and the text that it was made of. */
export interface ReadPolicy {
  readonly text: PolicyText;
  readonly policy: Policy;
}

const whole = { type: 'integer', minimum: 0, maximum: 2 ** 31 } as const;
const positive = { ...whole, minimum: 1 } as const;

const limits = {
  type: 'object',
  additionalProperties: false,
  properties: {
    sockets: positive,
    listening: whole,
    pages: positive,
    ringOrder: { type: 'integer', minimum: 1, maximum: 9 },
    backlog: positive,
    connectsPerSecond: whole,
    bytesPerSecond: whole,
  },
} as const;

function oneOrMore(item: object): object {
  return { anyOf: [item, { type: 'array', minItems: 1, items: item }] };
}

const rule = {
  type: 'object',
  additionalProperties: false,
  required: ['action'],
  properties: {
    action: { enum: ['allow', 'deny'] },
    direction: oneOrMore({ enum: ['connect', 'listen', 'datagram'] }),
    address: oneOrMore({ type: 'string' }),
    ports: oneOrMore({ type: ['integer', 'string'] }),
    comment: { type: 'string' },
  },
} as const;

const map = { type: 'object', additionalProperties: { type: 'string' } } as const;

const guest = {
  type: 'object',
  additionalProperties: false,
  properties: {
    rules: { type: 'array', items: rule },
    otherwise: { enum: ['allow', 'deny'] },
    localhost: { anyOf: [{ const: false }, { type: 'string', minLength: 1, maxLength: 64 }] },
    map: { type: 'object', additionalProperties: false, properties: { connect: map, listen: map } },
    limits,
  },
} as const;

const schema = {
  type: 'object',
  additionalProperties: false,
  properties: { default: guest, guests: { type: 'object', additionalProperties: guest } },
} as const;

const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
const isPolicy = ajv.compile<PolicyText>(schema);

/** What a value out of JSON says. `name`: what it came from. Throws an Error of one line that names the place of each mistake. */
export function policyOf(value: unknown, name: string): ReadPolicy {
  if (!isPolicy(value)) throw new Error(`${name}: ${lines(isPolicy.errors ?? []).join('; ')}`);
  const compiled = compilePolicy(value);
  if (!compiled.ok) throw new Error(`${name}: ${compiled.mistakes.join('; ')}`);
  return { text: value, policy: compiled.policy };
}

/** The same for a file. */
export function readPolicyFile(path: string): ReadPolicy {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  }
  return policyOf(value, path);
}

/** One for each place: of `anyOf` the summary says less than its parts, and its parts say the same thing twice. */
function lines(errors: readonly ErrorObject[]): readonly string[] {
  const found = new Map<string, string>();
  for (const { instancePath, keyword, message, params } of errors) {
    if (keyword === 'anyOf') continue;
    const where =
      instancePath === ''
        ? 'the policy'
        : instancePath
            .slice(1)
            .replaceAll(/\/(\d+)/g, '[$1]')
            .replaceAll('/', '.');
    if (found.has(where) && keyword !== 'additionalProperties') continue;
    const extra = keyword === 'additionalProperties' ? `: ${params.additionalProperty}` : '';
    const choices = keyword === 'enum' ? `: ${params.allowedValues.join(', ')}` : '';
    const text = keyword === 'additionalProperties' ? 'has no such field' : message;
    found.set(extra === '' ? where : `${where}${extra}`, `${where} ${text}${extra}${choices}`);
  }
  return [...found.values()];
}
