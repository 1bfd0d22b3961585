/**
 * The shapes of the requests for live changes, as JSON Schema.
 */
import { path, strict, type TSchema, Type } from './schemas.ts';

export const EventsQuery: TSchema = Type.Object(
  {
    path,
    nodes: Type.Boolean({
      default: false,
      description: 'Each change with the node as it is then, or null where it is gone.',
    }),
  },
  { ...strict, required: ['path'] },
);
export interface EventsQuery {
  readonly path: string;
  readonly nodes: boolean;
}
