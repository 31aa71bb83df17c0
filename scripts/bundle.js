/**
 * Makes dist/server.js out of dist/main.js and the packages it always loads: one file instead of some nine hundred,
 * which halves the time to the first answer. What is loaded only on some hosts (the Docker client, NVIDIA's library,
 * the pretty log) stays outside, and so do Nest's optional packages, which are not installed.
 */
import { build } from 'esbuild';

const OPTIONAL_PEERS = [
  '@fastify/*',
  '@grpc/*',
  '@mikro-orm/*',
  '@nestjs/axios',
  '@nestjs/microservices',
  '@nestjs/mongoose',
  '@nestjs/platform-fastify',
  '@nestjs/sequelize',
  '@nestjs/typeorm',
  '@nestjs/websockets',
  '@prisma/client',
  'mongoose',
  'sequelize',
  'typeorm',
];

// With `--suites`, the host of the suites, too: the same service, loaded once and started many times.
const forSuites = process.argv.includes('--suites') && { 'service-host': 'test/support/service-host.mjs' };

await build({
  // The child that talks to NVIDIA's library is found beside the file that starts it.
  entryPoints: {
    server: 'dist/main.js',
    'nvml-child': 'dist/gpus/nvml/nvml-child.js',
    // The demo's tritonserver: a program of its own, beside the service.
    'standin/tritonserver': 'standin/tritonserver/main.ts',
    ...forSuites,
  },
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // Class names are Nest's injection tokens in messages, and OpenAPI's schema names.
  keepNames: true,
  minifyWhitespace: true,
  sourcemap: true,
  // pino and write-file-atomic ask for their own path; a native addon is found beside its package.
  external: [
    'dockerode',
    'fs-native-extensions',
    'koffi',
    'pino',
    'pino-http',
    'pino-pretty',
    'swagger-ui-dist',
    'write-file-atomic',
    ...OPTIONAL_PEERS,
  ],
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
  logLevel: 'warning',
});
