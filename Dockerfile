# The compiler and npm stay behind in the first stages; the image holds Node itself, JavaScript, and what that imports.

FROM node:24.21-trixie-slim AS node

FROM node AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build
# Owned by the daemon's user in the image: a volume that is mounted here begins as a copy of it.
RUN mkdir data

FROM node AS modules
WORKDIR /modules
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# The same Debian without npm, corepack and yarn. Node 24 links nothing that it lacks; Node 25 and later want libatomic1 too.
FROM debian:trixie-slim
COPY --from=node /usr/local/bin/node /usr/local/bin/
WORKDIR /app
COPY package.json LICENSE ./
COPY bin ./bin
COPY --from=modules /modules/node_modules ./node_modules
COPY --from=build /build/dist ./dist

# Relative paths of the connector files begin here: connectors/ is yours to mount, data/ is the one place that is written.
WORKDIR /tailrace
COPY --from=build --chown=65532:65532 /build/data ./data
VOLUME /tailrace/data

# Numeric, so that Kubernetes can see that it is not root.
USER 65532:65532
ENV NODE_ENV=production
EXPOSE 7717
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["/usr/local/bin/node", "-e", "const port = process.env.TAILRACE_HTTP?.split(':').pop() || 7717; fetch('http://127.0.0.1:' + port + '/healthz').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]

# Exec form: the daemon itself is process 1 and gets SIGTERM. It starts no processes, so that there is nothing to reap.
ENTRYPOINT ["/usr/local/bin/node", "/app/bin/tailrace.mjs"]
CMD ["run", "connectors"]
