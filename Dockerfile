# webdist: one process, not root, no shell, nothing written but /data.
#
#   docker build -t webdist .                  every backend
#   docker build -t webdist --target slim .    without the vendors' SDKs (AWS, Google, Azure) and PKCS#11
#
# An HSM's PKCS#11 library may need more of a Debian than is here: COPY --from=webdist / / into an image that has it.

FROM node:26-bookworm-slim AS build
WORKDIR /app
# pkcs11js, for HSMs, is compiled against the headers that come with Node; strip is among the compiler's tools.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund && npm rebuild pkcs11js --nodedir=/usr/local
COPY tsconfig.json tsconfig.build.json tsconfig.browser.json ./
COPY src src
RUN npm run build && find dist \( -name '*.map' -o -name '*.d.ts' \) -delete

# What a system has to have to run Node: its libraries, a user, a place for what libraries put aside.
FROM build AS system
RUN mkdir -p /system/usr/local/bin /system/etc /system/data /system/app \
 && install -d -m 1777 /system/tmp \
 && strip -o /system/usr/local/bin/node /usr/local/bin/node \
 && ldd /usr/local/bin/node | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} /system \
 && echo 'webdist:x:65532:65532::/data:/nonexistent' > /system/etc/passwd \
 && echo 'webdist:x:65532:' > /system/etc/group \
 && echo 'hosts: files dns' > /system/etc/nsswitch.conf \
 && chown 65532:65532 /system/data

# One tree for each kind of image: pruned, with its bill of materials, all files of one age.
FROM build AS tree
ARG SOURCE_DATE_EPOCH=0
COPY docker/prune-modules.sh docker/bill-of-materials.sh docker/
COPY LICENSE CHANGELOG.md ./
COPY --from=system /system /tree
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && docker/bill-of-materials.sh --omit=dev > sbom.cdx.json \
 && docker/prune-modules.sh \
 && cp -a package.json LICENSE CHANGELOG.md sbom.cdx.json dist node_modules /tree/app/ \
 && find /tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM build AS slim-tree
ARG SOURCE_DATE_EPOCH=0
COPY docker/prune-modules.sh docker/bill-of-materials.sh docker/
COPY LICENSE CHANGELOG.md ./
COPY --from=system /system /tree
RUN npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
 && docker/bill-of-materials.sh --omit=dev --omit=optional > sbom.cdx.json \
 && docker/prune-modules.sh \
 && cp -a package.json LICENSE CHANGELOG.md sbom.cdx.json dist node_modules /tree/app/ \
 && find /tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch AS base
# The release sets both; a test holds the first to package.json.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="webdist" \
      org.opencontainers.image.description="Install verification tokens for iOS apps distributed from your own website" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV PATH=/usr/local/bin NODE_ENV=production HOST=0.0.0.0 PORT=8080 WEBDIST_DATA_DIR=/data
WORKDIR /app
USER 65532:65532
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/live`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The "--" keeps Node from taking webdist's own --env-file for its own.
ENTRYPOINT ["node", "--", "/app/dist/main.js"]
CMD ["serve"]

FROM base AS slim
COPY --from=slim-tree /tree /

# The last one is what `docker build .` makes.
FROM base AS full
COPY --from=tree /tree /
