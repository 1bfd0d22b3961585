/**
 * One node: read, written, removed, given permissions; and lists of such changes, all or nothing.
 */
import { ConditionHeaders, type Operation, PutNode, PutPermissions, Transaction } from '../changeschemas.ts';
import { matches } from '../conditions.ts';
import {
  answer,
  cachedAs,
  checkedPath,
  failures,
  type Reply,
  type Request,
  type Routes,
  showsSecrets,
  storeFailures,
} from '../context.ts';
import { AdminError, type ErrorCode } from '../errors.ts';
import { readNode } from '../node.ts';
import { applyAll, type Change, type Result } from '../operations.ts';
import { NodeQuery, PathQuery } from '../schemas.ts';
import type { Secrets } from '../secrets.ts';
import { decodeValue, encodeText } from '../value.ts';

const changing: readonly ErrorCode[] = [
  ...storeFailures,
  'audit_unavailable',
  'bad_path',
  'conflict',
  'outcome_unknown',
  'precondition_failed',
  'quota_exceeded',
  'read_only_store',
  'store_refused',
  'too_large',
  'unsupported_media_type',
  'write_token_needed',
];
const node = answer('Node', 'The node');
const writes = { writes: true };

export const nodeRoutes: Routes = (app, { store, show, secrets }) => {
  app.get<{ Querystring: NodeQuery }>(
    '/v1/node',
    {
      schema: {
        tags: ['store'],
        operationId: 'getNode',
        summary: 'One node: its value, permissions and children',
        querystring: NodeQuery,
        response: {
          200: node,
          304: { description: 'It is as If-None-Match says.', type: 'null' },
          ...failures([...storeFailures, 'bad_path', 'no_such_node', 'write_token_needed']),
        },
      },
    },
    async (request, reply) => {
      const { query } = request;
      const path = checkedPath(query.path);
      const all = showsSecrets(request, query.secrets);
      const found = show.node(await store.snapshot((view) => readNode(view, path)), { secrets: all });
      tagged(reply, found.etag).header('cache-control', cachedAs(all));
      if (matches(request.headers['if-none-match'], found.etag)) return reply.code(304).send();
      return found;
    },
  );

  /** One change, with the conditions of the request's headers. */
  const one = async (request: Request, change: Change): Promise<Result> => {
    request.audited = told(change, secrets);
    const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
    const [result] = await single(applyAll(store, [{ ...change, ifMatch, ifNoneMatch }], show));
    return result!;
  };

  app.put<{ Querystring: PathQuery; Body: PutNode }>(
    '/v1/node',
    {
      config: writes,
      schema: {
        tags: ['store'],
        operationId: 'putNode',
        summary: 'Writes a value; makes the node, and what is missing above it',
        querystring: PathQuery,
        headers: ConditionHeaders,
        body: PutNode,
        response: { 200: node, 201: answer('Node', 'The node, which is new'), ...failures(changing) },
      },
    },
    async (request, reply) => {
      const path = checkedPath(request.query.path);
      const { value, permissions } = request.body;
      const bytes = decodeValue(value, 'body.value');
      const { existed, node: after } = await one(request, { op: 'write', path, value: bytes, permissions });
      reply.code(existed ? 200 : 201);
      if (after !== null) tagged(reply, after.etag);
      return after;
    },
  );

  app.delete<{ Querystring: PathQuery }>(
    '/v1/node',
    {
      config: writes,
      schema: {
        tags: ['store'],
        operationId: 'deleteNode',
        summary: 'Removes a node and all below it',
        querystring: PathQuery,
        headers: ConditionHeaders,
        response: {
          204: { description: 'It is gone.', type: 'null' },
          ...failures([...changing, 'no_such_node']),
        },
      },
    },
    async (request, reply) => {
      const path = checkedPath(request.query.path);
      const { existed } = await one(request, { op: 'remove', path });
      if (!existed) throw new AdminError('no_such_node', 'there is no such node');
      return reply.code(204).send();
    },
  );

  app.put<{ Querystring: PathQuery; Body: PutPermissions }>(
    '/v1/permissions',
    {
      config: writes,
      schema: {
        tags: ['store'],
        operationId: 'putPermissions',
        summary: "Sets a node's permissions",
        querystring: PathQuery,
        headers: ConditionHeaders,
        body: PutPermissions,
        response: { 200: node, ...failures([...changing, 'no_such_node']) },
      },
    },
    async (request, reply) => {
      const path = checkedPath(request.query.path);
      const { permissions } = request.body;
      const { node: after } = await one(request, { op: 'setPermissions', path, permissions });
      if (after !== null) tagged(reply, after.etag);
      return after;
    },
  );

  app.post<{ Body: Transaction }>(
    '/v1/transactions',
    {
      config: writes,
      schema: {
        tags: ['store'],
        operationId: 'postTransaction',
        summary: 'Several changes in their order, all of them or none',
        body: Transaction,
        response: {
          200: answer('TransactionReply', 'All of it was done'),
          ...failures([...changing, 'no_such_node']),
        },
      },
    },
    async (request) => {
      const changes = request.body.operations.map(changeOf);
      request.audited = { operations: changes.map((change) => told(change, secrets)) };
      return { results: await applyAll(store, changes, show) };
    },
  );
};

function tagged(reply: Reply, etag: string): Reply {
  return reply.header('etag', `"${etag}"`);
}

/** Of one operation its index says nothing. */
async function single<T>(results: Promise<T>): Promise<T> {
  try {
    return await results;
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    const { operation: _, ...extras } = error.extras;
    throw new AdminError(error.code, error.message, extras);
  }
}

function changeOf(operation: Operation, index: number): Change {
  try {
    checkedPath(operation.path);
    if (operation.op !== 'write') return operation;
    return { ...operation, value: decodeValue(operation.value, `body.operations.${index}.value`) };
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    throw new AdminError(error.code, error.message, { ...error.extras, operation: index });
  }
}

const TOLD_MAX = 64;

/** For the audit log: no secret's value, and not much of others'. */
function told(change: Change, secrets: Secrets): object {
  const { op, path } = change;
  const permissions =
    'permissions' in change ? change.permissions?.map(({ domid, letter }) => `${letter}${domid}`) : undefined;
  if (change.op !== 'write') return { op, path, permissions };
  const { length } = change.value;
  const value = secrets.isSecret(path) ? undefined : encodeText(change.value.subarray(0, TOLD_MAX));
  return { op, path, value, bytes: length, permissions };
}
