// Each entry is a regular expression for the beginning of a path.

/** Suites that assert times, or need much of a machine: after all others, few at once. */
const ALONE = [
  'test/faults/f04-',
  'test/faults/f12-',
  'test/faults/f21-',
  'test/faults/f22-',
  'test/faults/f23-',
  'test/faults/f45-',
  'test/faults/engine-hangs',
  'test/faults/server-lanes',
  'test/gpus/nvml-provider',
  'test/launchers/docker-launcher',
];

/** Suites that start processes: several at once, for most of their time they wait. */
const PROCESSES = [
  'test/docs/adding-a-backend',
  'test/e2e/',
  'test/faults/',
  'test/host/',
  'test/launchers/',
  'test/processes/',
  'test/runners/[a-z-]+/contract',
  'test/runners/comfyui/comfyui-runner',
  'test/runners/http/http-runner',
  'test/runners/placement-server/',
  'test/scripts/',
  'test/standin/process',
  'test/runners/vllm/early-version',
];

const REAL = ['test/real/'];

/** Of these, suites that stop the Docker Engine of the machine, or assert times. */
const REAL_ALONE = [
  'test/real/engine-faults',
  'test/real/gpu-check',
  'test/real/nvml',
  'test/real/service-faults',
  'test/real/triton(?=\\.)',
  'test/real/triton-faults',
];

const project = (displayName, paths, { except = [], mayStartProcesses = true } = {}) => ({
  displayName,
  testRegex: paths.map((path) => `/${path}.*\\.spec\\.ts$`),
  testPathIgnorePatterns: except.map((path) => `<rootDir>/${path}`),
  testEnvironment: '<rootDir>/test/support/suite-environment.mjs',
  testEnvironmentOptions: { mayStartProcesses },
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
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  clearMocks: true,
});

export default {
  testSequencer: '<rootDir>/test/support/sequencer.mjs',
  // Real processes on a busy machine: a bound, not an expectation.
  testTimeout: 60_000,
  projects: [
    project('unit', ['test/'], { except: [...PROCESSES, ...ALONE, ...REAL], mayStartProcesses: false }),
    project('processes', PROCESSES, { except: ALONE }),
    project('alone', ALONE),
    project('real', REAL, { except: REAL_ALONE }),
    project('real-alone', REAL_ALONE),
  ],
};
