# One image for all services (qmtl-gateway, qmtl-world, qmtl-dagmgr, qmtl-executor), `qmtl migrate` and `qmtl doctor`:
#   docker build --tag qmtl:0.1.0.dev0 .
# The base is pinned by its tag. To pin what the tag means today, write its digest behind it, in both places:
#   docker buildx imagetools inspect python:3.11.14-slim-bookworm --format '{{.Manifest.Digest}}'
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/qmtl
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY qmtl_foundation qmtl_foundation
COPY qmtl_gateway qmtl_gateway
COPY qmtl_dagmgr qmtl_dagmgr
COPY qmtl_world qmtl_world
COPY qmtl_executor qmtl_executor
COPY qmtl_sdk qmtl_sdk
RUN /opt/qmtl/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: --constraint constraints.txt ".[server]" \
 && /opt/qmtl/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/qmtl /opt/qmtl
# Nothing is written but below /tmp: the rest may be read-only.
ENV PATH=/opt/qmtl/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba
USER 10001:10001
CMD ["qmtl", "--help"]
