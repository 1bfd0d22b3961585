/**
 * Checks requests against their schemas. What comes in a URL is text, so numbers are made of it there; in a body nothing is bent into shape.
 */
import { Ajv } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from './schemas.ts';

/** `named`: schemas that others refer to. */
export function validatorOf(named: readonly TSchema[]): FastifySchemaCompiler<unknown> {
  const common = { useDefaults: true, discriminator: true, allErrors: false, strict: false };
  const bodies = new Ajv({ ...common, coerceTypes: false });
  const others = new Ajv({ ...common, coerceTypes: true });
  for (const schema of named) {
    bodies.addSchema(schema);
    others.addSchema(schema);
  }
  return ({ schema, httpPart }) => (httpPart === 'body' ? bodies : others).compile(schema as object);
}
