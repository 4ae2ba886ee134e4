# One image for every service, the portal, the desk, a perspective and the payment sandbox of development;
# `make containers` shows how each is built.
#   SERVICE  the extra in pyproject.toml whose packages are installed
#   SOURCE   the one folder of code beside shared/ (the portal's is portal)
#   BASE     what it runs on, by digest: Python 3.11, certificates of public CAs; neither shell nor pip is used of it
#   BUILDER  the same system with pip, where BASE has none
# The layers are in the order in which they change, and the first is the same in all images: a node fetches it once.
ARG BASE
ARG BUILDER=${BASE}

# Installs packages and makes the list of parts (SBOM); nothing of this stage is in an image.
FROM ${BUILDER} AS tools
RUN apt-get update && apt-get install -y --no-install-recommends binutils
COPY requirements/sbom.txt /build/sbom.txt
RUN python3 -m venv /build/tools \
 && /build/tools/bin/pip install --progress-bar off --no-cache-dir --no-compile --require-hashes -r /build/sbom.txt
COPY deploy/images/install.sh /build/install.sh

# What every service runs on.
FROM tools AS common
COPY requirements/common.txt /build/common.txt
RUN python3 -m venv --without-pip /app/venv && sh /build/install.sh /build/common.txt

# What this one adds: packages and the list of all its parts in /own, the code where it will be.
FROM common AS own
ARG SERVICE
COPY requirements/${SERVICE}.txt /build/own.txt
RUN touch /build/common-ends && sh /build/install.sh /build/own.txt \
 && /build/tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
      --output-file /app/sbom.cdx.json /app/venv/bin/python \
 && mkdir /own && cd /app && find . -cnewer /build/common-ends ! -type d | tar -cf - -T - | tar -xf - -C /own
ARG SOURCE=services/${SERVICE}
COPY shared/ /app/shared/
COPY ${SOURCE}/ /app/${SOURCE}/
RUN chmod -R go+rX /app/shared /app/${SOURCE} \
 && /app/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app/shared /app/${SOURCE}

FROM ${BASE}
COPY --from=common /app/ /app/
ARG SERVICE
ARG SOURCE=services/${SERVICE}
COPY --from=own /own/ /app/
COPY --from=own /app/shared/ /app/shared/
COPY --from=own /app/${SOURCE}/ /app/${SOURCE}/
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG BASE
LABEL org.opencontainers.image.title="ecert/${SERVICE}" \
      org.opencontainers.image.description="Online renewal of e-Cert (Server) certificates: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 TZ=UTC HOME=/tmp
USER 65532:65532
# For example: services.payment.main web
ENTRYPOINT ["/app/venv/bin/python", "-m"]
