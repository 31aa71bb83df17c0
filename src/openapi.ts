import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import type { Backend } from './runners/backend.js';
import { backends } from './runners/backends.js';

/** The OpenAPI document of the API. `openapi.json` in the repository is this, and the check fails when it differs. */
export function createOpenApiDocument(app: INestApplication): OpenAPIObject {
  const description =
    'Starts, stops and watches model servers on the GPUs of this host. 在多GPU环境下启动、停止和监控模型实例的统一API。';
  const document = SwaggerModule.createDocument(
    app,
    new DocumentBuilder()
      .setTitle('Model Inference Client API')
      .setDescription(description)
      .setVersion('1')
      .addTag('health')
      .addTag('gpus')
      .addTag('processes')
      .addTag('models')
      .build(),
  );
  describeStartOptions(document, backends);
  return document;
}

/** Serves `/docs` and `/openapi.json`; the document is made when it is first asked for. */
export function serveDocs(app: INestApplication): void {
  let document: OpenAPIObject | undefined;
  SwaggerModule.setup('docs', app, () => (document ??= createOpenApiDocument(app)), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
  });
}

type Options = Pick<Backend, 'name' | 'options'>;

/** `StartRequest.config` gets the options of every backend. @throws Error where the document has no such schema */
export function describeStartOptions(document: OpenAPIObject, rows: readonly Options[]): void {
  const request = document.components?.schemas?.StartRequest;
  const config = request && 'properties' in request ? request.properties.config : undefined;
  if (!config || '$ref' in config) throw new Error('The document has no StartRequest.config');
  config.description = [config.description, ...rows.map(inWords)].join(' ');
  config.additionalProperties = rows.some(({ options }) => options === undefined);
  Object.assign(config, { properties: propertiesOf(rows) });
}

function inWords({ name, options }: Options): string {
  if (!options) return `${name}: the options of the model's own entry in the configuration.`;
  const keys = Object.keys(options.shape).map((key) => `\`${key}\``);
  return `${name}: ${keys.join(', ') || 'none'}.`;
}

/** The schema of each option; where several backends have one of that name, any of theirs. */
function propertiesOf(rows: readonly Options[]): Record<string, unknown> {
  const schemas: Record<string, unknown[]> = {};
  for (const { options = z.object() } of rows) {
    const { properties = {} } = z.toJSONSchema(options, { io: 'input', target: 'openapi-3.0' });
    for (const [key, schema] of Object.entries(properties)) (schemas[key] ??= []).push(schema);
  }
  return Object.fromEntries(
    Object.entries(schemas).map(([key, all]) => [key, all.length === 1 ? all[0] : { anyOf: all }]),
  );
}
