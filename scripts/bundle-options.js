/** What is loaded only on some hosts (NVIDIA's library), or found beside its package (files, a native addon). */
const OUTSIDE = ['fs-native-extensions', 'koffi', 'swagger-ui-dist'];

/** Packages that Nest would use, and that are not installed. */
const OPTIONAL_PEERS = [
  '@fastify/*',
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

/** What the Docker client loads for SSH and for builds with BuildKit, which the service never asks for: ten megabytes. */
const UNUSED = ['@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs', 'ssh2'];

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
  alias: Object.fromEntries(UNUSED.map((name) => [name, './scripts/nothing.cjs'])),
  plugins: [SHAKEN],
  logLevel: 'warning',
};

/** Of a bundle whose compiled code is kept (see src/kept-code.ts): such a script may not import. */
export const COMMON_JS = {
  ...OPTIONS,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  supported: { 'dynamic-import': false },
  define: { 'import.meta.url': 'fileUrl' },
  banner: { js: "const fileUrl = require('node:url').pathToFileURL(__filename).href;" },
};
