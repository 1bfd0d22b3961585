/**
 * The shapes of what the REST service shows, and of how it is asked to, as JSON Schema: what is checked is what the OpenAPI document says. The
 * door of the schema library: whoever has further shapes takes `Type` and `strict` from here.
 */
import { type TSchema, Type } from 'typebox';
import { errorCodes } from './errors.ts';

export type { TSchema };
export { Type };

/** Unknown fields are refused. */
export const strict: { readonly additionalProperties: false } = { additionalProperties: false };

const PATH_MAX = 3072;

export const path: TSchema = Type.String({
  description: 'Absolute path of a node, without a slash at its end.',
  minLength: 1,
  maxLength: PATH_MAX,
  examples: ['/local/domain/0/name'],
});

export const secrets: TSchema = Type.Optional(
  Type.Literal('show', {
    description: 'Values of secrets too; needs the write token, and is in the audit log.',
  }),
);

export function limit(most: number, usual: number): TSchema {
  return Type.Integer({
    minimum: 1,
    maximum: most,
    default: usual,
    description: 'Most entries of the reply.',
  });
}

export const after: TSchema = Type.Optional(
  Type.String({ maxLength: PATH_MAX, description: 'Go on after this: `next` of the reply before.' }),
);

const next = Type.Optional(
  Type.String({ description: 'There is more: ask again with `after` set to this.' }),
);

export const NodeQuery: TSchema = Type.Object({ path, secrets }, strict);
export interface NodeQuery {
  readonly path: string;
  readonly secrets?: 'show';
}

export const PathQuery: TSchema = Type.Object({ path }, strict);
export interface PathQuery {
  readonly path: string;
}

export const TreeQuery: TSchema = Type.Object(
  {
    path,
    depth: Type.Integer({ minimum: 0, maximum: 64, default: 8, description: '0: the node alone.' }),
    limit: limit(10_000, 1_000),
    after,
    secrets,
  },
  { ...strict, required: ['path'] },
);
export interface TreeQuery extends NodeQuery {
  readonly depth: number;
  readonly limit: number;
  readonly after?: string;
}

export const SearchQuery: TSchema = Type.Object(
  {
    q: Type.String({
      minLength: 1,
      maxLength: 256,
      description: 'Found as it is, in any case of its letters.',
    }),
    in: Type.Union(
      (['path', 'value', 'any'] as const).map((where) => Type.Literal(where)),
      { default: 'any', description: 'Paths, values (in the form of `text`) or either.' },
    ),
    under: Type.String({ maxLength: PATH_MAX, default: '/', description: 'Only at or below this path.' }),
    limit: limit(1_000, 100),
    after,
    secrets,
  },
  { ...strict, required: ['q'] },
);
export interface SearchQuery {
  readonly q: string;
  readonly in: 'path' | 'value' | 'any';
  readonly under: string;
  readonly limit: number;
  readonly after?: string;
  readonly secrets?: 'show';
}

export const Value: TSchema = Type.Object(
  {
    text: Type.String({
      description:
        'ASCII; a backslash, newline, return and tab as \\\\ \\n \\r \\t, every other byte as \\xNN.',
    }),
    base64: Type.String({ description: 'The bytes themselves.' }),
    masked: Type.Optional(Type.Literal(true, { description: 'A secret: text and base64 are empty.' })),
  },
  { ...strict, $id: 'Value' },
);

export const Permission: TSchema = Type.Object(
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
  { ...strict, $id: 'Permission' },
);

const permissions = Type.Array(Type.Ref('Permission#'));

const etag = Type.String({
  description: 'Hash of value, permissions and the set of children; the ETag header has it in quotes.',
});

export const Node: TSchema = Type.Object(
  { path: Type.String(), value: Type.Ref('Value#'), permissions, children: Type.Array(Type.String()), etag },
  { ...strict, $id: 'Node' },
);

export const Tree: TSchema = Type.Object(
  {
    path: Type.String(),
    nodes: Type.Array(Type.Ref('Node#'), {
      description: 'Each parent before its children; siblings: numbers by size, then names.',
    }),
    truncated: Type.Union(
      (['no', 'nodes', 'bytes'] as const).map((cause) => Type.Literal(cause)),
      { description: 'What cut the reply short.' },
    ),
    next,
    age_ms: Type.Optional(Type.Number({ description: 'How old this is, if it comes from the mirror.' })),
  },
  { ...strict, $id: 'Tree' },
);

export const SearchReply: TSchema = Type.Object(
  {
    nodes: Type.Array(Type.Ref('Node#')),
    searched: Type.Integer({ description: 'Nodes looked at for this reply.' }),
    next,
  },
  { ...strict, $id: 'SearchReply' },
);

export const Session: TSchema = Type.Object(
  {
    role: Type.Union([Type.Literal('read'), Type.Literal('write')]),
    daemon: Type.String({ description: 'stubdom0, xenstored (the C daemon), oxenstored or unknown.' }),
    version: Type.String({ description: 'Of this interface.' }),
    writable: Type.Boolean({ description: 'Is there a write token at all?' }),
    connected: Type.Boolean({ description: 'Is there a connection to the store at this moment?' }),
  },
  { ...strict, $id: 'Session' },
);

/** RFC 9457. */
export const Problem: TSchema = Type.Object(
  {
    type: Type.String({ description: 'urn:stubdom0:error:CODE' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.Unsafe({
      type: 'string',
      enum: Object.keys(errorCodes),
      description: 'Never changes.',
    }),
    detail: Type.String({ description: 'For people.' }),
    where: Type.Optional(Type.String({ description: 'The field that is wrong, such as query.limit.' })),
    operation: Type.Optional(Type.Integer({ description: 'Index of the operation that failed.' })),
    current: Type.Optional(
      Type.Union([Type.Ref('Node#'), Type.Null()], {
        description: 'The node as it is; null: there is none.',
      }),
    ),
  },
  { $id: 'Problem' },
);

/** Named in the OpenAPI document; others refer to them as `NAME#`. Those of changes are in changeschemas.ts. */
export const named: readonly TSchema[] = [Value, Permission, Node, Tree, SearchReply, Session, Problem];
