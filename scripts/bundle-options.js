/**
 * What is loaded only on some hosts (the Docker client, NVIDIA's library, the pretty log); pino and write-file-atomic, which
 * ask for their own path; a native addon, which is found beside its package.
 */
const OUTSIDE = [
  'dockerode',
  'fs-native-extensions',
  'koffi',
  'pino',
  'pino-http',
  'pino-pretty',
  'swagger-ui-dist',
  'write-file-atomic',
];

/** Packages that Nest would use, and that are not installed. */
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

/** Of these a bundle has what the service imports, and no more: Nest is given it, and never imports them itself. */
const SHAKEN = {
  name: 'shaken',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^class-(validator|transformer)$/ }, ({ path, kind, resolveDir }) =>
      kind === 'dynamic-import' ? { external: true } : resolve(`${path}/esm5/index.js`, { kind, resolveDir }),
    );
  },
};

/**
 * What the Docker client loads for SSH and for builds with BuildKit, which the service never asks for: a seventh of the time to
 * the first answer, and ten megabytes.
 */
export const WITHOUT_UNUSED = Object.fromEntries(
  ['@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs', 'ssh2'].map((name) => [
    name,
    './scripts/nothing.cjs',
  ]),
);

/** Of every bundle of the service. */
export const OPTIONS = {
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node20',
  // Class names are Nest's injection tokens in messages, and OpenAPI's schema names.
  keepNames: true,
  minifyWhitespace: true,
  external: [...OUTSIDE, ...OPTIONAL_PEERS],
  plugins: [SHAKEN],
  logLevel: 'warning',
};
