/**
 * The shapes of requests that change something, and of their replies, as JSON Schema.
 */
import { path, strict, type TSchema, Type } from './schemas.ts';
import type { Permission as PermissionValue } from './store.ts';
import type { ValueInput as ValueInputValue } from './value.ts';

const TEXT_MAX = 4 * 4096;

const ValueInput: TSchema = Type.Union(
  [
    Type.Object(
      {
        text: Type.String({
          maxLength: TEXT_MAX,
          description: 'As in a reply; what is not ASCII is its UTF-8.',
        }),
      },
      strict,
    ),
    Type.Object({ base64: Type.String({ maxLength: TEXT_MAX }) }, strict),
  ],
  { $id: 'ValueInput', description: 'The bytes of a value, either way.' },
);

const permissionsInput = Type.Array(Type.Ref('Permission#'), { minItems: 1, maxItems: 256 });

export const ConditionHeaders: TSchema = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'ETags: only if the node has one of them; *: only if there is one.' }),
  ),
  'if-none-match': Type.Optional(
    Type.String({ description: 'ETags: only if it has none of them; *: only if there is no node.' }),
  ),
});

export const PutNode: TSchema = Type.Object(
  { value: Type.Ref('ValueInput#'), permissions: Type.Optional(permissionsInput) },
  strict,
);
export interface PutNode {
  readonly value: ValueInputValue;
  readonly permissions?: readonly PermissionValue[];
}

export const PutPermissions: TSchema = Type.Object({ permissions: permissionsInput }, strict);
export interface PutPermissions {
  readonly permissions: readonly PermissionValue[];
}

const tag = Type.String({ minLength: 1, maxLength: 64 });
const conditions = {
  ifMatch: Type.Optional(
    Type.Union([tag, Type.Array(tag, { maxItems: 64 })], {
      description: 'Only if the node has one of these ETags; `*`: only if there is one.',
    }),
  ),
  ifNoneMatch: Type.Optional(
    Type.Union([tag, Type.Array(tag, { maxItems: 64 })], {
      description: 'Only if it has none of these; `*`: only if there is no node.',
    }),
  ),
};

function operation(op: OperationName, more: Readonly<Record<string, TSchema>>): TSchema {
  return Type.Object({ op: Type.Literal(op), path, ...more, ...conditions }, strict);
}

type OperationName = Operation['op'];

interface OperationBase {
  readonly path: string;
  readonly ifMatch?: string | readonly string[];
  readonly ifNoneMatch?: string | readonly string[];
}

export type Operation = OperationBase &
  (
    | {
        readonly op: 'write';
        readonly value: ValueInputValue;
        readonly permissions?: readonly PermissionValue[];
      }
    | { readonly op: 'mkdir'; readonly permissions?: readonly PermissionValue[] }
    | { readonly op: 'remove' }
    | { readonly op: 'setPermissions'; readonly permissions: readonly PermissionValue[] }
    | { readonly op: 'check' }
  );

const OPERATIONS_MAX = 1_000;

export const Transaction: TSchema = Type.Object(
  {
    operations: Type.Array(
      // By `op`, so that a complaint is about the operation that was meant.
      Type.Unsafe({
        type: 'object',
        required: ['op'],
        discriminator: { propertyName: 'op' },
        oneOf: [
          operation('write', {
            value: Type.Ref('ValueInput#'),
            permissions: Type.Optional(permissionsInput),
          }),
          operation('mkdir', { permissions: Type.Optional(permissionsInput) }),
          operation('remove', {}),
          operation('setPermissions', { permissions: permissionsInput }),
          operation('check', {}),
        ],
      }),
      { minItems: 1, maxItems: OPERATIONS_MAX },
    ),
  },
  strict,
);
export interface Transaction {
  readonly operations: readonly Operation[];
}

const TransactionReply: TSchema = Type.Object(
  {
    results: Type.Array(
      Type.Object(
        {
          path: Type.String(),
          existed: Type.Boolean({ description: 'Was there a node before this operation?' }),
          node: Type.Union([Type.Ref('Node#'), Type.Null()], {
            description: 'The node after all operations; null: there is none.',
          }),
        },
        strict,
      ),
      { description: 'One for each operation, in their order.' },
    ),
  },
  { ...strict, $id: 'TransactionReply' },
);

export const Control: TSchema = Type.Object(
  {
    command: Type.String({ minLength: 1, maxLength: 64, examples: ['quota'] }),
    args: Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 16, default: [] }),
  },
  { ...strict, required: ['command'] },
);
export interface Control {
  readonly command: string;
  readonly args: readonly string[];
}

const ControlReply: TSchema = Type.Object({ text: Type.String() }, { ...strict, $id: 'ControlReply' });

/** Named in the OpenAPI document. */
export const changeNamed: readonly TSchema[] = [ValueInput, TransactionReply, ControlReply];
