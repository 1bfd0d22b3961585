/**
 * TypeScript's types out of an OpenAPI document, in the shape that openapi-fetch reads: as much of JSON Schema as this service's document
 * has, and no more. What it does not know is an error, never a guess.
 */

/** As much of a document as types come from. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Operation {
  readonly summary?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>;

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly description?: string;
}

/** A module's text, not yet laid out. Throws for what it does not know. */
export function typesOf({ paths, components }: Document, opening: string): string {
  const schemas = Object.entries(components.schemas).map(([name, schema]) => `${name}: ${typeOf(schema)};`);
  const routes = Object.entries(paths).map(
    ([path, methods]) => `${JSON.stringify(path)}: {${Object.entries(methods).map(operationOf).join('\n')}};`,
  );
  return `${opening}
export interface components { schemas: {${schemas.join('\n')}} }

export interface paths {${routes.join('\n')}}
`;
}

function operationOf([method, operation]: readonly [string, Operation]): string {
  const { summary, parameters = [], requestBody, responses } = operation;
  const places = [...new Set(parameters.map((parameter) => parameter.in))].map((place) => {
    const those = parameters.filter((parameter) => parameter.in === place);
    const optional = those.some(({ required }) => required) ? '' : '?';
    return `${place}${optional}: {${those.map(parameterOf).join('\n')}};`;
  });
  const body = requestBody === undefined ? '' : `requestBody: ${contentOf(requestBody.content)};`;
  const answers = Object.entries(responses).map(
    ([status, { content }]) => `${status}: ${contentOf(content)};`,
  );
  if (places.length === 0) places.push('query?: never;');
  return `${comment(summary)}${method}: {parameters: {${places.join('\n')}}; ${body} responses: {${answers.join('\n')}}};`;
}

function parameterOf({ name, required, description, schema }: Parameter): string {
  return `${comment(description)}${JSON.stringify(name)}${required ? '' : '?'}: ${typeOf(schema)};`;
}

function contentOf(content: Content | undefined): string {
  if (content === undefined) return '{ content?: never }';
  const types = Object.entries(content).map(
    ([type, { schema }]) => `${JSON.stringify(type)}: ${typeOf(schema)};`,
  );
  return `{ content: {${types.join('\n')}} }`;
}

function typeOf(schema: Schema): string {
  const { $ref, type, items, anyOf, oneOf } = schema;
  if ($ref !== undefined) return `components['schemas']['${$ref.split('/').at(-1)}']`;
  const choices = anyOf ?? oneOf;
  if (choices !== undefined) return `(${choices.map(typeOf).join(' | ')})`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return `(${schema.enum.map((each) => JSON.stringify(each)).join(' | ')})`;
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
    case 'number':
      return type;
    case 'integer':
      return 'number';
    case 'array':
      return items === undefined ? 'unknown[]' : `${typeOf(items)}[]`;
    case 'object':
      return objectOf(schema);
    case undefined:
      return 'unknown';
    default:
      throw new Error(`no type for ${JSON.stringify(schema)}`);
  }
}

function objectOf({ properties = {}, required = [], additionalProperties }: Schema): string {
  const fields = Object.entries(properties).map(
    ([name, schema]) =>
      `${comment(schema.description)}${JSON.stringify(name)}${required.includes(name) ? '' : '?'}: ${typeOf(schema)};`,
  );
  if (typeof additionalProperties === 'object')
    fields.push(`[name: string]: ${fields.length === 0 ? typeOf(additionalProperties) : 'unknown'};`);
  return `{${fields.join('\n')}}`;
}

const WIDTH = 100;

/** In lines that fit the eye. */
function comment(text: string | undefined): string {
  if (text === undefined || text === '') return '';
  const lines = [''];
  for (const word of text.replaceAll('*/', '*\\/').split(/\s+/)) {
    const line = lines.at(-1)!;
    if (line.length + word.length < WIDTH) lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
    else lines.push(word);
  }
  return lines.length === 1 ? `\n/** ${lines[0]} */\n` : `\n/**\n * ${lines.join('\n * ')}\n */\n`;
}
