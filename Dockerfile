# The service, without any backend: Triton runs in containers of its own, which the service launches through the
# Engine's socket. How to run it: docker-compose.yml and docs/deployment.md.

FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
COPY standin ./standin
RUN npm run build && npm prune --omit=dev

FROM node:24-bookworm-slim
WORKDIR /opt/model-inference-client
ENV NODE_ENV=production
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
COPY config ./config
COPY demo ./demo
# root, on purpose: the Engine's socket is as good as root on the host anyway, and DELETE /api/v1/processes/{pid} needs
# CAP_KILL for processes of other users.
USER root
EXPOSE 6004
# MIC_HOST and MIC_PORT, rather than server.host and server.port in the YAML, so that this knows them, too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://${process.env.MIC_HOST || '127.0.0.1'}:${process.env.MIC_PORT || 6004}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=4", "dist/server.js"]
