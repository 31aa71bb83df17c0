import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import * as z from 'zod';
import type { Backend } from './runners/backend.js';
import { backends } from './runners/backends.js';

/** The parts of the API, in the order in which the document has them. */
const TAGS = {
  health: 'Whether this service is there and takes commands. 健康检查',
  gpus: 'The GPUs of this host. GPU管理',
  processes: 'The processes of this host. 进程管理',
  models: 'The models on these GPUs. 模型管理',
};

/** The OpenAPI document of the API. `openapi.json` in the repository is this, and the check fails when it differs. */
export function createOpenApiDocument(app: INestApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setTitle('Model Inference Client API')
    .setDescription(
      'Starts, stops and watches model servers on the GPUs of this host. 在多GPU环境下启动、停止和监控模型实例的统一API。\n\n' +
        'A POST or DELETE with a query parameter or a field of the body that it does not know is a 400 `VALIDATION_FAILED`, which names the nearest that it knows; nothing has changed. A path that does not take a method answers 405 `METHOD_NOT_ALLOWED`, with `Allow`. POST 和 DELETE 请求中未知的查询参数或请求体字段返回 400；路径不支持的方法返回 405。',
    )
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer('/', 'This service. 本服务');
  for (const [name, description] of Object.entries(TAGS)) builder.addTag(name, description);
  const document = SwaggerModule.createDocument(app, builder.build());
  describeStartOptions(document, backends);
  admitNull(document);
  return {
    ...document,
    paths: inOrderOfTags(document.paths),
    // Whoever reaches it may use it: what keeps others out stands before this service.
    security: [],
  };
}

/** Serves `/docs` and `/openapi.json`; the document is made when it is first asked for. */
export function serveDocs(app: INestApplication): void {
  let document: OpenAPIObject | undefined;
  SwaggerModule.setup('docs', app, () => (document ??= createOpenApiDocument(app)), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
  });
}

function inOrderOfTags(paths: OpenAPIObject['paths']): OpenAPIObject['paths'] {
  const names = Object.keys(TAGS);
  const placeOf = (path: OpenAPIObject['paths'][string]): number => {
    const { get, post, delete: end } = path;
    return names.indexOf((get ?? post ?? end)?.tags?.[0] ?? '');
  };
  return Object.fromEntries(Object.entries(paths).sort(([, a], [, b]) => placeOf(a) - placeOf(b)));
}

type Options = Pick<Backend, 'name' | 'options'>;

/**
 * `StartRequest.config` is the options of one of the backends: the schema of each, for `any` of them rather than exactly one,
 * since what is empty, or has what several take, fits several. @throws Error where the document has no such schema
 */
export function describeStartOptions(document: OpenAPIObject, rows: readonly Options[]): void {
  const schemas = document.components?.schemas;
  const request = schemas?.StartRequest;
  const config = request && 'properties' in request ? request.properties.config : undefined;
  if (!schemas || !config || '$ref' in config) throw new Error('The document has no StartRequest.config');
  delete config.additionalProperties;
  config.description = [config.description, ...rows.map(inWords)].join(' ');
  config.anyOf = rows.map((row) => {
    const name = `${row.name.charAt(0).toUpperCase()}${row.name.slice(1)}StartOptions`;
    Object.assign(schemas, { [name]: schemaOf(row) });
    return { $ref: `#/components/schemas/${name}` };
  });
}

/** A property that may be null allows it only where the schema that it refers to does, which is then that of no other. */
function admitNull({ components }: OpenAPIObject): void {
  for (const schema of Object.values(components?.schemas ?? {})) {
    for (const property of Object.values('properties' in schema ? (schema.properties ?? {}) : {})) {
      if ('$ref' in property || property.nullable !== true) continue;
      for (const part of property.allOf ?? []) {
        const target = '$ref' in part ? components?.schemas?.[part.$ref.split('/').at(-1) ?? ''] : part;
        if (target) Object.assign(target, { nullable: true });
      }
    }
  }
}

function inWords({ name, options }: Options): string {
  if (!options) return `${name}: the options of the model's own entry in the configuration.`;
  const keys = Object.keys(options.shape).map((key) => `\`${key}\``);
  return `${name}: ${keys.join(', ') || 'none'}.`;
}

/** What a start leaves out is the model's default. `null` says nothing, as the absence of `config` does. */
function schemaOf({ name, options }: Options): object {
  if (!options) {
    return {
      type: 'object',
      nullable: true,
      description: `\`config\` of a ${name} model: the options of its own entry in the configuration, by name. 模型自身配置项中定义的选项`,
      additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'boolean' }] },
    };
  }
  const schema = z.toJSONSchema(options.partial(), { io: 'input', target: 'openapi-3.0' });
  return { ...schema, nullable: true, description: `\`config\` of a ${name} model. 启动选项` };
}
