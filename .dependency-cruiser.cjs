/** The picture of docs/architecture.md, enforced: arrows point one way. */
const may = (name, from, to) => ({
  name,
  severity: 'error',
  from: { path: `^src/${from}/` },
  to: { path: '^src/', pathNot: `^src/(${[from, ...to].join('|')})/` },
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
    may('launchers-know-no-runner', 'launchers', ['common', 'config']),
    may('runners-know-launchers-only', 'runners', ['launchers', 'common', 'config']),
    may('gpus-know-launchers', 'gpus', ['launchers', 'common', 'config']),
    may('state-knows-nobody', 'state', ['common', 'config']),
    may('processes-know-models', 'processes', ['models', 'gpus', 'common', 'config']),
    may('models-know-runners-gpus-state', 'models', ['runners', 'gpus', 'state', 'common', 'config']),
    may('health-knows-models', 'health', ['models', 'common', 'config']),
    may('the-stand-in-is-a-program-of-its-own', 'demo', []),
    {
      name: 'nobody-imports-the-stand-in',
      severity: 'error',
      from: { path: '^src/(?!demo/)' },
      to: { path: '^src/demo/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
