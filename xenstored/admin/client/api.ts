/**
 * The REST service's requests and replies as types for openapi-fetch. Written by `npm run generate:admin-client` from the OpenAPI document;
 * not to be edited.
 */

export interface components {
  schemas: {
    Value: {
      /** ASCII; a backslash, newline, return and tab as \\ \n \r \t, every other byte as \xNN. */
      text: string;

      /** The bytes themselves. */
      base64: string;

      /** A secret: text and base64 are empty. */
      masked?: true;
    };
    ValueInput:
      | {
          /** As in a reply; what is not ASCII is its UTF-8. */
          text: string;
        }
      | { base64: string };
    Permission: {
      domid: number;

      /** n none, r read, w write, b both. The first entry: the owner, and what everybody else may. */
      letter: 'n' | 'r' | 'w' | 'b';
    };
    Node: {
      path: string;
      value: components['schemas']['Value'];
      permissions: components['schemas']['Permission'][];
      children: string[];

      /** Hash of value, permissions and the set of children; the ETag header has it in quotes. */
      etag: string;
    };
    Tree: {
      path: string;

      /** Each parent before its children; siblings: numbers by size, then names. */
      nodes: components['schemas']['Node'][];

      /** What cut the reply short. */
      truncated: 'no' | 'nodes' | 'bytes';

      /** There is more: ask again with `after` set to this. */
      next?: string;

      /** How old this is, if it comes from the mirror. */
      age_ms?: number;
    };
    SearchReply: {
      nodes: components['schemas']['Node'][];

      /** Nodes looked at for this reply. */
      searched: number;

      /** There is more: ask again with `after` set to this. */
      next?: string;
    };
    TransactionReply: {
      /** One for each operation, in their order. */
      results: {
        path: string;

        /** Was there a node before this operation? */
        existed: boolean;

        /** The node after all operations; null: there is none. */
        node: components['schemas']['Node'] | null;
      }[];
    };
    Session: {
      role: 'read' | 'write';

      /** stubdom0, xenstored (the C daemon), oxenstored or unknown. */
      daemon: string;

      /** This service's. */
      version: string;

      /** Is there a write token at all? */
      writable: boolean;

      /** Is there a connection to the store at this moment? */
      connected: boolean;
    };
    ControlReply: { text: string };
    Problem: {
      /** urn:stubdom0:error:CODE */
      type: string;
      title: string;
      status: number;

      /** Never changes. */
      code:
        | 'bad_request'
        | 'bad_path'
        | 'store_refused'
        | 'unauthorized'
        | 'access_denied'
        | 'forbidden_origin'
        | 'write_token_needed'
        | 'control_not_allowed'
        | 'read_only_store'
        | 'not_found'
        | 'no_such_node'
        | 'no_such_domain'
        | 'method_not_allowed'
        | 'conflict'
        | 'precondition_failed'
        | 'too_large'
        | 'unsupported_media_type'
        | 'rate_limited'
        | 'headers_too_large'
        | 'internal'
        | 'not_offered'
        | 'store_error'
        | 'store_unavailable'
        | 'outcome_unknown'
        | 'audit_unavailable'
        | 'too_many_streams'
        | 'too_many_searches'
        | 'quota_exceeded';

      /** For people. */
      detail: string;

      /** The field that is wrong, such as query.limit. */
      where?: string;

      /** Index of the operation that failed. */
      operation?: number;

      /** The node as it is; null: there is none. */
      current?: components['schemas']['Node'] | null;
    };
  };
}

export interface paths {
  '/v1/session': {
    /** The role of the token, and which daemon is behind */
    get: {
      parameters: { query?: never };
      responses: {
        200: { content: { 'application/json': components['schemas']['Session'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/node': {
    /** One node: its value, permissions and children */
    get: {
      parameters: {
        query: {
          /** Absolute path of a node, without a slash at its end. */
          path: string;

          /** Values of secrets too; needs the write token, and is in the audit log. */
          secrets?: 'show';
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['Node'] } };
        304: { content?: never };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };

    /** Writes a value; makes the node, and what is missing above it */
    put: {
      parameters: {
        query: {
          /** Absolute path of a node, without a slash at its end. */
          path: string;
        };
        header?: {
          /** ETags: only if the node has one of them; *: only if there is one. */
          'if-match'?: string;

          /** ETags: only if it has none of them; *: only if there is no node. */
          'if-none-match'?: string;
        };
      };
      requestBody: {
        content: {
          'application/json': {
            value: components['schemas']['ValueInput'];
            permissions?: components['schemas']['Permission'][];
          };
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['Node'] } };
        201: { content: { 'application/json': components['schemas']['Node'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        409: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        412: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        413: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        507: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };

    /** Removes a node and all below it */
    delete: {
      parameters: {
        query: {
          /** Absolute path of a node, without a slash at its end. */
          path: string;
        };
        header?: {
          /** ETags: only if the node has one of them; *: only if there is one. */
          'if-match'?: string;

          /** ETags: only if it has none of them; *: only if there is no node. */
          'if-none-match'?: string;
        };
      };
      responses: {
        204: { content?: never };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        409: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        412: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        413: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        507: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/permissions': {
    /** Sets a node's permissions */
    put: {
      parameters: {
        query: {
          /** Absolute path of a node, without a slash at its end. */
          path: string;
        };
        header?: {
          /** ETags: only if the node has one of them; *: only if there is one. */
          'if-match'?: string;

          /** ETags: only if it has none of them; *: only if there is no node. */
          'if-none-match'?: string;
        };
      };
      requestBody: {
        content: { 'application/json': { permissions: components['schemas']['Permission'][] } };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['Node'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        409: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        412: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        413: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        507: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/transactions': {
    /** Several changes in their order, all of them or none */
    post: {
      parameters: { query?: never };
      requestBody: {
        content: {
          'application/json': {
            operations: (
              | {
                  op: 'write';

                  /** Absolute path of a node, without a slash at its end. */
                  path: string;
                  value: components['schemas']['ValueInput'];
                  permissions?: components['schemas']['Permission'][];

                  /** Only if the node has one of these ETags; `*`: only if there is one. */
                  ifMatch?: string | string[];

                  /** Only if it has none of these; `*`: only if there is no node. */
                  ifNoneMatch?: string | string[];
                }
              | {
                  op: 'mkdir';

                  /** Absolute path of a node, without a slash at its end. */
                  path: string;
                  permissions?: components['schemas']['Permission'][];

                  /** Only if the node has one of these ETags; `*`: only if there is one. */
                  ifMatch?: string | string[];

                  /** Only if it has none of these; `*`: only if there is no node. */
                  ifNoneMatch?: string | string[];
                }
              | {
                  op: 'remove';

                  /** Absolute path of a node, without a slash at its end. */
                  path: string;

                  /** Only if the node has one of these ETags; `*`: only if there is one. */
                  ifMatch?: string | string[];

                  /** Only if it has none of these; `*`: only if there is no node. */
                  ifNoneMatch?: string | string[];
                }
              | {
                  op: 'setPermissions';

                  /** Absolute path of a node, without a slash at its end. */
                  path: string;
                  permissions: components['schemas']['Permission'][];

                  /** Only if the node has one of these ETags; `*`: only if there is one. */
                  ifMatch?: string | string[];

                  /** Only if it has none of these; `*`: only if there is no node. */
                  ifNoneMatch?: string | string[];
                }
              | {
                  op: 'check';

                  /** Absolute path of a node, without a slash at its end. */
                  path: string;

                  /** Only if the node has one of these ETags; `*`: only if there is one. */
                  ifMatch?: string | string[];

                  /** Only if it has none of these; `*`: only if there is no node. */
                  ifNoneMatch?: string | string[];
                }
            )[];
          };
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['TransactionReply'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        409: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        412: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        413: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        507: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/tree': {
    /** A subtree as a list, parents first, bounded in depth and size; the rest page by page */
    get: {
      parameters: {
        query: {
          /** Absolute path of a node, without a slash at its end. */
          path: string;

          /** 0: the node alone. */
          depth?: number;

          /** Most entries of the reply. */
          limit?: number;

          /** Go on after this: `next` of the reply before. */
          after?: string;

          /** Values of secrets too; needs the write token, and is in the audit log. */
          secrets?: 'show';
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['Tree'] } };
        304: { content?: never };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/search': {
    /** Nodes by their names or values; an empty page with `next` is not the end */
    get: {
      parameters: {
        query: {
          /** Found as it is, in any case of its letters. */
          q: string;

          /** Paths, values (in the form of `text`) or either. */
          in?: 'path' | 'value' | 'any';

          /** Only at or below this path. */
          under?: string;

          /** Most entries of the reply. */
          limit?: number;

          /** Go on after this: `next` of the reply before. */
          after?: string;

          /** Values of secrets too; needs the write token, and is in the audit log. */
          secrets?: 'show';
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['SearchReply'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/events': {
    /** Changes at or below a path, as server-sent events: changes, resync */
    get: {
      parameters: {
        query: {
          /** Absolute path of a node, without a slash at its end. */
          path: string;

          /** Each change with the node as it is then, or null where it is gone. */
          nodes?: boolean;
        };
      };
      responses: {
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/control': {
    /** A command for the daemon, as `xenstore control` gives it */
    post: {
      parameters: { query?: never };
      requestBody: { content: { 'application/json': { command: string; args?: string[] } } };
      responses: {
        200: { content: { 'application/json': components['schemas']['ControlReply'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
}
