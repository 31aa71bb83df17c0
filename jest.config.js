/** Unit, contract, e2e and real suites share one set-up; `npm test` and `npm run test:real` choose by path. */
export default {
  testEnvironment: '<rootDir>/test/support/suite-environment.mjs',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  testMatch: ['<rootDir>/test/**/*.spec.ts', '<rootDir>/src/**/*.spec.ts'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  // Real processes on a busy machine: a bound, not an expectation.
  testTimeout: 30_000,
  clearMocks: true,
  setupFilesAfterEnv: ['<rootDir>/test/support/end-hosts.ts'],
};
