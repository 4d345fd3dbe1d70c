# The image of webdist: one process, not root, no shell; it writes only to /data.
#
#   docker build -t webdist .                  every backend
#   docker build -t webdist --target slim .    without the vendors' SDKs (AWS, Google, Azure) and PKCS#11
#
# An HSM's PKCS#11 library may need more of Debian than this image has: COPY --from=webdist / / into an image that has both.

# A release names the same tag with its digest: --build-arg NODE_IMAGE=node:26-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:26-bookworm-slim
# checkov:skip=CKV_DOCKER_7:the argument has the tag
FROM ${NODE_IMAGE} AS build
WORKDIR /app
# pkcs11js, for HSMs, is compiled against the headers that come with Node; strip comes with the compiler. None of these packages
# gets into the image, so they are not pinned: Debian removes old versions.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
COPY docker/sdks docker/sdks
RUN npm ci --ignore-scripts --no-audit --no-fund && npm rebuild pkcs11js --nodedir=/usr/local
COPY LICENSE tsconfig.json tsconfig.build.json tsconfig.browser.json ./
COPY src src
RUN npm run build && rm -r dist/button-package && find dist \( -name '*.map' -o -name '*.d.ts' \) -delete

# The least that Node needs to run: its libraries, a user, and /tmp.
FROM build AS system
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir -p /system/usr/local/bin /system/etc /system/data /system/app \
 && install -d -m 1777 /system/tmp \
 && strip -o /system/usr/local/bin/node /usr/local/bin/node \
 && ldd /usr/local/bin/node | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} /system \
 && echo 'webdist:x:65532:65532::/data:/nonexistent' > /system/etc/passwd \
 && echo 'webdist:x:65532:' > /system/etc/group \
 && echo 'hosts: files dns' > /system/etc/nsswitch.conf \
 && chown 65532:65532 /system/data
COPY docker/system-components.mjs docker/
RUN node docker/system-components.mjs /system > /system-components.json

# One file tree for each image: pruned, with its bill of materials, and all files with the same date.
FROM build AS tree
ARG SOURCE_DATE_EPOCH=0
COPY docker/production-package.sh docker/prune-modules.sh docker/bill-of-materials.sh docker/
COPY --from=system /system-components.json ./
COPY CHANGELOG.md ./
COPY --from=system /system /tree
RUN docker/production-package.sh --with-sdks \
 && npm prune --ignore-scripts --no-audit --no-fund \
 && SYSTEM_COMPONENTS=system-components.json docker/bill-of-materials.sh > sbom.cdx.json \
 && docker/prune-modules.sh \
 && cp -a package.json LICENSE CHANGELOG.md sbom.cdx.json dist node_modules /tree/app/ \
 && find /tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM build AS slim-tree
ARG SOURCE_DATE_EPOCH=0
COPY docker/production-package.sh docker/prune-modules.sh docker/bill-of-materials.sh docker/
COPY --from=system /system-components.json ./
COPY CHANGELOG.md ./
COPY --from=system /system /tree
RUN docker/production-package.sh \
 && npm prune --ignore-scripts --no-audit --no-fund \
 && SYSTEM_COMPONENTS=system-components.json docker/bill-of-materials.sh > sbom.cdx.json \
 && docker/prune-modules.sh \
 && cp -a package.json LICENSE CHANGELOG.md sbom.cdx.json dist node_modules /tree/app/ \
 && find /tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch AS base
# The release sets both; a test compares the first with package.json.
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG NODE_IMAGE
LABEL org.opencontainers.image.title="webdist" \
      org.opencontainers.image.description="Install verification tokens for iOS apps distributed from your own website" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$NODE_IMAGE"
ENV PATH=/usr/local/bin NODE_ENV=production HOST=0.0.0.0 PORT=8080 WEBDIST_DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "http.get({ host: (process.env.HOST || '127.0.0.1').replace(/[[]|]/g, ''), port: process.env.PORT, path: '/health/live', agent: new http.Agent() }, (r) => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
# Without the "--", Node would interpret webdist's --env-file option itself. A SIGUSR1 would open Node's inspector.
ENTRYPOINT ["node", "--disable-sigusr1", "--", "/app/dist/main.js"]
CMD ["serve"]

FROM base AS slim
COPY --from=slim-tree /tree /
WORKDIR /app

# The last stage is the one that `docker build .` builds.
FROM base AS full
COPY --from=tree /tree /
# After the files, because it would otherwise create the folder with today's date.
WORKDIR /app
