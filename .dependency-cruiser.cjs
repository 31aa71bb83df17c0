/** The picture of docs/architecture.md, enforced: arrows point one way. */
const may = (name, from, to) => ({
  name,
  severity: 'error',
  from: { path: `^src/${from}/` },
  to: { path: '^src/', pathNot: `^src/(${[from, ...to].join('|')})/` },
});

const room = (from, to) => ({
  name: `models-${from}-knows-${to.join('-') || 'no-other-room'}`,
  severity: 'error',
  from: { path: `^src/models/${from}/` },
  to: { path: '^src/models/', pathNot: `^src/models/(${[from, ...to].join('|')})/` },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: ['^src/main\\.ts$', '\\.d\\.ts$'] },
      to: {},
    },
    may('common-knows-only-the-configuration', 'common', ['config']),
    may('config-knows-only-common', 'config', ['common']),
    may('host-knows-only-common', 'host', ['common']),
    may('launchers-know-no-runner', 'launchers', ['host', 'common', 'config']),
    may('runners-know-launchers-only', 'runners', ['launchers', 'host', 'common', 'config']),
    // A backend is one folder and one row: the folder is known to `backends.ts`, and that to the composition root.
    {
      name: 'a-backend-is-known-by-its-row-alone',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/runners/(backends\\.ts$|[^/]+/)' },
      to: { path: '^src/runners/[^/]+/' },
    },
    {
      name: 'a-backend-knows-no-other',
      severity: 'error',
      from: { path: '^src/runners/([^/]+)/' },
      to: { path: '^src/runners/[^/]+/', pathNot: '^src/runners/($1|placement-server)/' },
    },
    {
      name: 'a-backend-knows-the-shared-pieces-of-the-configuration',
      severity: 'error',
      from: { path: '^src/runners/[^/]+/' },
      to: { path: '^src/config/', pathNot: '^src/config/(backend-section|sections/common)\\.ts$' },
    },
    {
      name: 'the-rows-are-known-to-the-composition-root-alone',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/(main|service|app|app\\.module|openapi|runners/runners\\.module)\\.ts$',
      },
      to: { path: '^src/runners/backends\\.ts$' },
    },
    may('gpus-know-launchers-and-state', 'gpus', ['launchers', 'state', 'host', 'common', 'config']),
    may('state-knows-nobody', 'state', ['common', 'config']),
    may('processes-know-models', 'processes', ['models', 'gpus', 'host', 'common', 'config']),
    may('models-know-runners-gpus-state', 'models', ['runners', 'gpus', 'state', 'host', 'common', 'config']),
    // The rooms of models: api → watch → supervisor → worker → deployment; supervisor, watch → room.
    room('deployment', []),
    room('worker', ['deployment']),
    room('room', []),
    room('supervisor', ['worker', 'deployment', 'room']),
    room('watch', ['supervisor', 'worker', 'deployment', 'room']),
    room('api', ['watch', 'supervisor', 'worker', 'deployment', 'room']),
    may('checks-know-runners-and-gpus', 'checks', [
      'runners',
      'gpus',
      'launchers',
      'host',
      'common',
      'config',
    ]),
    may('health-knows-models-and-checks', 'health', ['models', 'checks', 'common', 'config']),
    // What both read alike is read by one reader: the text of a model's configuration.
    {
      name: 'the-stand-in-is-a-program-of-its-own',
      severity: 'error',
      from: { path: '^standin/' },
      to: { path: '^src/', pathNot: '^src/runners/triton/text-format(-lexer)?\\.ts$' },
    },
    {
      name: 'the-service-knows-no-stand-in',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^standin/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
