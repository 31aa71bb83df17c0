import { readFileSync } from 'node:fs';
import AjvDraft04 from 'ajv-draft-04';

/** OpenAPI 3.0 has the JSON Schema of draft 4, and `nullable`. */
const ajv = new AjvDraft04.default({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(JSON.parse(readFileSync('openapi.json', 'utf8')) as object, 'api');

/** What is wrong with a body by a schema of the document, in words; nothing: it is valid. */
export function problemsOf(schema: string, body: unknown): string[] {
  const validate = ajv.getSchema(`api#/components/schemas/${schema}`);
  if (!validate) throw new Error(`The document has no schema ${schema}`);
  void validate(body);
  return (validate.errors ?? []).map(
    ({ instancePath, message }) => `${instancePath || '/'} ${message ?? ''}`,
  );
}
