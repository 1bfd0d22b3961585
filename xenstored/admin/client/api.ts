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
    Session: {
      role: 'read' | 'write';

      /** stubdom0, xenstored (the C daemon), oxenstored or unknown. */
      daemon: string;

      /** Of this interface. */
      version: string;

      /** Is there a write token at all? */
      writable: boolean;

      /** Is there a connection to the store at this moment? */
      connected: boolean;
    };
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
    ValueInput:
      | {
          /** As in a reply; what is not ASCII is its UTF-8. */
          text: string;
        }
      | { base64: string };
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
    ControlReply: { text: string };
    Quota: {
      used: number;

      /** null: none. */
      limit: number | null;

      /** The most that was ever seen. */
      max?: number;
    };
    DeviceEnd: {
      domid: number;
      path: string;

      /** Is there such a directory? */
      there: boolean;

      /** XenbusState; 0: none. */
      state: number;
      state_name: string;

      /** Values as text, by key relative to `path`; secrets are empty. */
      keys: { [name: string]: string };

      /** What it says of its failure. */
      error?: string;
    };
    Device: {
      kind: string;
      devid: number;
      frontend: components['schemas']['DeviceEnd'];
      backend: components['schemas']['DeviceEnd'];
      rings: {
        /** Grant references by key. */
        refs: { [name: string]: number };

        /** Ports by key. */
        evtchn: { [name: string]: number };
        protocol?: string;
      };
    };
    Devices: { devices: components['schemas']['Device'][] };
    Domain: {
      domid: number;

      /** null: it has none in the store. */
      name: string | null;

      /** null: the toolstack did not say. */
      uuid: string | null;

      /** Does the store serve its ring? null: nobody can tell. */
      introduced: boolean | null;

      /** What it was asked for last and has not taken up; null: nothing. */
      shutdown: string | null;
      memory: {
        /** null: unknown. */
        target_kib: number | null;

        /** null: unknown. */
        max_kib: number | null;
      };
      devices: {
        kind: string;
        devid: number;
        role: 'frontend' | 'backend';

        /** The other end's domain. */
        other: number;

        /** XenbusState; 0: none. */
        state: number;

        /** XenbusState; 0: none. */
        other_state: number;
      }[];
      quotas?: {
        nodes?: components['schemas']['Quota'];
        watches?: components['schemas']['Quota'];
        outstanding?: components['schemas']['Quota'];
        memory?: components['schemas']['Quota'];
        transactions?: components['schemas']['Quota'];
        'transaction-nodes'?: components['schemas']['Quota'];
        'node-permissions'?: components['schemas']['Quota'];
        'path-max'?: components['schemas']['Quota'];
        'node-size'?: components['schemas']['Quota'];
      };
    };
    Domains: { domains: components['schemas']['Domain'][] };
    Daemon: {
      /** stubdom0, xenstored (the C daemon), oxenstored or unknown. */
      daemon: string;

      /** What of /v1/daemon/... it tells. */
      has: string[];

      /** Counted since its start, or as it stands. */
      statistics?: { [name: string]: number };

      /** Those that this service has set, how many streams hang on each, nodes in its mirror. */
      watches: { path: string; readers: number; nodes: number }[];
    };
    Trace: {
      /** Oldest first. */
      entries: {
        seq: number;
        age_ms: number;

        /** Who. */
        domid: number;

        /** Tells sockets apart; 0: the daemon itself. */
        connection: number;

        /** write, create, rm, perms, gone; commit: `path` is its number. */
        what: string;
        path: string;

        /** Of a node called `state`: the digit that it held then. */
        value?: string;
      }[];

      /** Ask again with `after` set to this. */
      next: number;
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
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        415: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        415: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        415: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        415: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/events': {
    /** Changes at or below a path, as server-sent events: changes, resync, store */
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
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/domains': {
    /** Domains that have a home in the store, with their devices in short */
    get: {
      parameters: { query?: never };
      responses: {
        200: { content: { 'application/json': components['schemas']['Domains'] } };
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
  '/v1/domains/{domid}': {
    /** One of them */
    get: {
      parameters: { path: { domid: number } };
      responses: {
        200: { content: { 'application/json': components['schemas']['Domain'] } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        404: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
  '/v1/devices': {
    /** Devices as pairs of a frontend and a backend, with states, keys, rings */
    get: {
      parameters: {
        query?: {
          /** With an end there. */
          domid?: number;
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['Devices'] } };
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
  '/v1/daemon': {
    /** Which daemon this is, what it tells, and what this service asks of it */
    get: {
      parameters: { query?: never };
      responses: {
        200: { content: { 'application/json': components['schemas']['Daemon'] } };
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
  '/v1/daemon/connections': {
    /** Who is connected, and what each holds */
    get: {
      parameters: {
        query?: {
          /** Only this domain's. */
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: {
          content: {
            'application/json': {
              connections: {
                /** Whose ring it is. */
                domid?: number;

                /** Or which socket: a number of the daemon. */
                socket?: number;
                requests?: number;
                watches?: number;
                transactions?: number;
                unsent?: number;
                outstanding?: number;
                memory?: number;
                nodes?: number;
                credit?: number;
                features?: number;
                target?: number;
                ignored?: boolean;
              }[];

              /** There are more than `limit`. */
              more: boolean;
            };
          };
        };
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
  '/v1/daemon/watches': {
    /** Watches that are set */
    get: {
      parameters: {
        query?: {
          /** Only this domain's. */
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: {
          content: {
            'application/json': {
              watches: {
                /** Whose ring it is. */
                domid?: number;

                /** Or which socket: a number of the daemon. */
                socket?: number;
                path: string;
                token: string;
                depth?: number;
              }[];

              /** There are more than `limit`. */
              more: boolean;
            };
          };
        };
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
  '/v1/daemon/transactions': {
    /** Transactions that are open */
    get: {
      parameters: {
        query?: {
          /** Only this domain's. */
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: {
          content: {
            'application/json': {
              transactions: {
                /** Whose ring it is. */
                domid?: number;

                /** Or which socket: a number of the daemon. */
                socket?: number;
                transaction: number;
                nodes?: number;
                age_ms: number;
                changed?: boolean;
                failed?: boolean;
              }[];

              /** There are more than `limit`. */
              more: boolean;
            };
          };
        };
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
  '/v1/daemon/rings': {
    /** Rings of domains: indices, what waits */
    get: {
      parameters: {
        query?: {
          /** Only this domain's. */
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: {
          content: {
            'application/json': {
              rings: {
                /** Whose ring it is. */
                domid?: number;

                /** Or which socket: a number of the daemon. */
                socket?: number;

                /** served, or ignored for what the domain did to it. */
                status: string;
                mapped: boolean;
                port?: number;
                req_cons?: number;
                req_prod?: number;
                rsp_cons?: number;
                rsp_prod?: number;
                connection?: number;
                error?: number;

                /** Bytes. */
                requests_waiting?: number;

                /** Bytes. */
                replies_waiting?: number;
              }[];

              /** There are more than `limit`. */
              more: boolean;
            };
          };
        };
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
  '/v1/daemon/quotas': {
    /** What each domain uses of its quotas */
    get: {
      parameters: {
        query?: {
          /** Only this domain's. */
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: {
          content: {
            'application/json': {
              quotas: {
                /** Whose ring it is. */
                domid?: number;

                /** Or which socket: a number of the daemon. */
                socket?: number;
                nodes?: components['schemas']['Quota'];
                watches?: components['schemas']['Quota'];
                outstanding?: components['schemas']['Quota'];
                memory?: components['schemas']['Quota'];
                transactions?: components['schemas']['Quota'];
                'transaction-nodes'?: components['schemas']['Quota'];
                'node-permissions'?: components['schemas']['Quota'];
                'path-max'?: components['schemas']['Quota'];
                'node-size'?: components['schemas']['Quota'];
              }[];

              /** There are more than `limit`. */
              more: boolean;
            };
          };
        };
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
  '/v1/daemon/refusals': {
    /** What was refused lately for want of rights or quota */
    get: {
      parameters: {
        query?: {
          /** Only this domain's. */
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: {
          content: {
            'application/json': {
              refusals: {
                /** Whose ring it is. */
                domid?: number;

                /** Or which socket: a number of the daemon. */
                socket?: number;
                op: string;
                errno: string;

                /** How often. */
                count: number;

                /** Since the last time. */
                age_ms: number;

                /** The first argument, as text. */
                path: string;
              }[];

              /** There are more than `limit`. */
              more: boolean;
            };
          };
        };
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
  '/v1/daemon/trace': {
    /** Who wrote what lately */
    get: {
      parameters: {
        query?: {
          /** Only later ones than this number. */
          after?: number;
          domid?: number;

          /** Most entries of the reply. */
          limit?: number;
        };
      };
      responses: {
        200: { content: { 'application/json': components['schemas']['Trace'] } };
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
  '/metrics': {
    /** Figures in the text format of Prometheus */
    get: {
      parameters: { query?: never };
      responses: {
        200: { content: { 'text/plain': string } };
        400: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        401: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        403: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
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
        413: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        415: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        429: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        500: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        501: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        502: { content: { 'application/problem+json': components['schemas']['Problem'] } };
        503: { content: { 'application/problem+json': components['schemas']['Problem'] } };
      };
    };
  };
}
