#!/usr/bin/env node
/**
 * Writes api.ts, the types of the REST service, from the OpenAPI document that the service itself serves: `npm run generate:admin-client`.
 * Answers the text on its standard output; with a file's name, writes it there.
 */
import { writeFileSync } from 'node:fs';
import { openapiDocument } from '../app.ts';
import { type Document, typesOf } from './types.ts';

const opening = `/**
 * The REST service's requests and replies as types for openapi-fetch. Written by \`npm run generate:admin-client\` from the OpenAPI document;
 * not to be edited.
 */
`;

const text = typesOf((await openapiDocument()) as Document, opening);
const [file] = process.argv.slice(2);
if (file === undefined) process.stdout.write(text);
else writeFileSync(file, text);
