import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApiOkResponse, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';

/** The peer of the boot benchmark: a Nest app with the same platform and Swagger, that does nothing. */
@Controller()
class BareController {
  @Get()
  @ApiOkResponse({ type: String })
  hello(): { status: string } {
    return { status: 'ok' };
  }
}

@Module({ controllers: [BareController] })
class BareModule {}

const app = await NestFactory.create(BareModule, { logger: false });
SwaggerModule.setup(
  'docs',
  app,
  SwaggerModule.createDocument(app, new DocumentBuilder().setTitle('bare').build()),
);
await app.listen(Number(process.env.PORT), '127.0.0.1');
