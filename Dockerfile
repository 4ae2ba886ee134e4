# One image for every service and for the portal; `make containers` shows how each is built.
#   SERVICE  the extra in pyproject.toml whose packages are installed
#   SOURCE   the one folder of code beside shared/ (the portal's is portal)
#   BASE     what it runs on, by digest: Python 3.11, certificates of public CAs; neither shell nor pip is used of it
#   BUILDER  the same system with pip, where BASE has none
ARG BASE
ARG BUILDER=${BASE}

# Makes the list of parts (SBOM); nothing of this stage is in an image.
FROM ${BUILDER} AS tools
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends binutils >/dev/null
COPY requirements/sbom.txt /build/sbom.txt
RUN python3 -m venv /build/tools \
 && /build/tools/bin/pip install --quiet --no-compile --require-hashes -r /build/sbom.txt

FROM tools AS packages
ARG SERVICE
ARG SOURCE=services/${SERVICE}
COPY requirements/${SERVICE}.txt /build/requirements.txt
# Hashed and complete: nothing is resolved anew. The bytecode is made here, as the root will be read-only.
RUN python3 -m venv --without-pip /app/venv \
 && /build/tools/bin/pip --python /app/venv/bin/python install --quiet --no-compile --no-deps --only-binary :all: \
      --require-hashes -r /build/requirements.txt \
 && /build/tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
      --output-file /app/sbom.cdx.json /app/venv/bin/python
# A third of it nobody reads here: debugging symbols, sources of what is compiled, tests, a thousand locales. (What
# psycopg brings was patched after it was linked: that is left as it is.)
RUN cd /app/venv/lib/python3.11/site-packages \
 && find . -name '*.so' ! -path './psycopg_binary*' -exec strip --strip-unneeded {} + \
 && find . \( -name '*.pyi' -o -name '*.[ch]' \) -delete \
 && rm -rf tests */tests kafka/benchmarks zstandard/_cffi*.so \
 && find . -path './babel/locale-data/*.dat' | grep -vE '/(root|en|en_001|en_HK|zh|zh_Han[st](_HK)?)[.]dat$' | xargs -r rm
COPY shared/ /app/shared/
COPY ${SOURCE}/ /app/${SOURCE}/
RUN /app/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app

FROM ${BASE}
ARG SERVICE
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG BASE
LABEL org.opencontainers.image.title="ecert/${SERVICE}" \
      org.opencontainers.image.description="Online renewal of e-Cert (Server) certificates: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=packages /app/ /app/
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 TZ=UTC HOME=/tmp
USER 65532:65532
# For example: services.payment.main web
ENTRYPOINT ["/app/venv/bin/python", "-m"]
