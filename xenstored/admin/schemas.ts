/**
 * The shapes of the REST service's requests and replies, as JSON Schema: what is checked is what the OpenAPI document says.
 */
import { type TSchema, Type } from 'typebox';
import { errorCodes } from './errors.ts';

const path = Type.String({
  description: 'Absolute path of a node, without a slash at its end.',
  minLength: 1,
  maxLength: 3072,
  examples: ['/local/domain/0/name'],
});

const strict = { additionalProperties: false };

export const NodeQuery: TSchema = Type.Object({ path }, strict);
export interface NodeQuery {
  readonly path: string;
}

export const TreeQuery: TSchema = Type.Object(
  {
    path,
    depth: Type.Integer({ minimum: 0, maximum: 64, default: 8, description: '0: the node alone.' }),
    limit: Type.Integer({
      minimum: 1,
      maximum: 10_000,
      default: 1_000,
      description: 'Most nodes in the reply.',
    }),
  },
  { ...strict, required: ['path'] },
);
export interface TreeQuery extends NodeQuery {
  readonly depth: number;
  readonly limit: number;
}

const Value = Type.Object(
  {
    text: Type.String({
      description:
        'ASCII; a backslash, newline, return and tab as \\\\ \\n \\r \\t, every other byte as \\xNN.',
    }),
    base64: Type.String({ description: 'The bytes themselves.' }),
  },
  strict,
);

const Permission = Type.Object(
  {
    domid: Type.Integer({ minimum: 0, maximum: 65_535 }),
    letter: Type.Union(
      (['n', 'r', 'w', 'b'] as const).map((letter) => Type.Literal(letter)),
      {
        description:
          'n none, r read, w write, b both. The first entry: the owner, and what everybody else may.',
      },
    ),
  },
  strict,
);

export const Node: TSchema = Type.Object(
  {
    path: Type.String(),
    value: Value,
    permissions: Type.Array(Permission),
    children: Type.Array(Type.String()),
  },
  strict,
);

export const Tree: TSchema = Type.Object(
  {
    path: Type.String(),
    nodes: Type.Array(Node, { description: 'Each parent before its children.' }),
    truncated: Type.Union(
      (['no', 'nodes', 'bytes'] as const).map((cause) => Type.Literal(cause)),
      { description: 'What cut the reply short.' },
    ),
  },
  strict,
);

export const Failure: TSchema = Type.Object(
  {
    error: Type.Object(
      { code: Type.String({ enum: Object.keys(errorCodes) }), message: Type.String() },
      strict,
    ),
  },
  strict,
);
