import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';

/** The OpenAPI document of the API. `openapi.json` in the repository is this, and the check fails when it differs. */
export function createOpenApiDocument(app: INestApplication): OpenAPIObject {
  const description =
    'Starts, stops and watches model servers on the GPUs of this host. 在多GPU环境下启动、停止和监控模型实例的统一API。';
  return SwaggerModule.createDocument(
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
}

/** Serves `/docs` and `/openapi.json`; the document is made when it is first asked for. */
export function serveDocs(app: INestApplication): void {
  let document: OpenAPIObject | undefined;
  SwaggerModule.setup('docs', app, () => (document ??= createOpenApiDocument(app)), {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
  });
}
