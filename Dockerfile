# Four images that share their layers: prep (prepare, denoise, mix; no torch), extract, train, infer (infer, evaluate).
#   make images                                                  as .env says
#   docker build --target train --build-arg CUDA=cu128 .
# For BuildKit of Docker 20.10 and later, and for Podman. CUDA: a line of requirements/pins.json; `make doctor` knows which.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS python
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 > /dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log

# The installer: mounted where it is used, part of no image.
FROM python AS uv
COPY requirements/uv.txt /tmp/
# ca_bundle: certificates of a network that opens TLS on its way; empty elsewhere
RUN --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-pip > /dev/null \
 && python3 -m pip install -q --no-cache-dir --root-user-action=ignore --require-hashes --target /uv -r /tmp/uv.txt

FROM python AS prep-packages
ARG CUDA=cu130
COPY requirements/${CUDA}-prep.txt /opt/prep.txt
RUN --mount=from=uv,source=/uv,target=/uv \
    --mount=type=cache,id=moksori-uv,target=/var/cache/uv \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export SSL_CERT_FILE=/run/secrets/ca_bundle; fi; \
    export UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_HTTP_TIMEOUT=300; \
    python3 -m venv --without-pip /opt/venv \
 && /uv/bin/uv pip install -q --python /opt/venv --require-hashes -r /opt/prep.txt
# no bytecode is written when it runs, for it runs read only; HOME, LOGNAME: its user is a number without a name
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp LOGNAME=moksori \
    DATA=/data RUNS=/runs NUMBA_CACHE_DIR=/runs/.loops MOKSORI_LOOPS=/opt/loops \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /opt/moksori

# The one layer with torch and CUDA: extract, train and infer stand on it.
FROM prep-packages AS packages
ARG CUDA=cu130
COPY requirements/${CUDA}.txt /opt/packages.txt
RUN --mount=from=uv,source=/uv,target=/uv \
    --mount=type=cache,id=moksori-uv,target=/var/cache/uv \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then export SSL_CERT_FILE=/run/secrets/ca_bundle; fi; \
    export UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_HTTP_TIMEOUT=300; \
    /uv/bin/uv pip install -q --python /opt/venv --require-hashes -r /opt/packages.txt

# Ours: with bytecode, and with the loops as machine code of this machine's kind.
FROM prep-packages AS ours
ARG CUDA=cu130
COPY app app
COPY jobs jobs
COPY configs configs
COPY requirements/pins.json requirements/pins.json
# one age for all, so that what was compiled fits whenever the tree was checked out; loops compiled before are kept
RUN --mount=type=cache,id=moksori-loops,target=/var/cache/loops \
    find . -exec touch -d @1000000000 {} + \
 && python3 -m compileall -q app jobs \
 && ln -s /runs runs \
 && NUMBA_CACHE_DIR=/var/cache/loops/${CUDA} python3 -m jobs.loops /opt/loops

FROM prep-packages AS prep
COPY --from=ours /opt/loops /opt/loops
COPY --from=ours /opt/moksori /opt/moksori
# what it was built from, as app/host/images.py counts it
ARG SOURCE=unknown COMMIT
ENV MOKSORI_COMMIT=${COMMIT}
LABEL moksori.source=${SOURCE}
CMD ["python3", "-m", "jobs.prepare"]

FROM packages AS extract
COPY --from=ours /opt/loops /opt/loops
COPY --from=ours /opt/moksori /opt/moksori
ARG SOURCE=unknown COMMIT
ENV MOKSORI_COMMIT=${COMMIT}
LABEL moksori.source=${SOURCE}
CMD ["python3", "-m", "jobs.extract"]

FROM extract AS train
CMD ["python3", "-m", "jobs.train"]

FROM extract AS infer
CMD ["python3", "-m", "jobs.infer"]
